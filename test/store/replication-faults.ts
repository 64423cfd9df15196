import assert from "node:assert/strict";
import { join } from "node:path";
import { realClock } from "../../src/base/clock.ts";
import type { Random } from "../../src/base/random.ts";
import type { ParameterValues } from "../../src/kv/parameters/parameters.ts";
import { waitFor } from "../kit/process.ts";
import { startFaultyLink, type FaultyLink } from "./faulty-link.ts";
import { RespClient, type Reply } from "./resp-client.ts";
import { startStoreProcess, type StoreProcess } from "./store-process.ts";

/** Keys that are always there: half a snapshot would have fewer. */
const KEYS = 400;
const PAIRS = 20;
const LEFT = Array.from({ length: PAIRS }, (_, i) => `left:${i}`);
const RIGHT = Array.from({ length: PAIRS }, (_, i) => `right:${i}`);
const ALL = KEYS + 2 * PAIRS + 1;
const FAULTS = ["kill-replica", "kill-primary", "stop-replica", "stop-primary", "silence", "cut"] as const;
/** Longer than `repl-timeout`, sometimes. */
const STOP_MS_MAX = 3000;
const COMMON = { save: "", "repl-timeout": 1, "repl-ping-replica-period": 1 } as const;

export interface FaultRound {
  readonly directory: string;
  readonly random: Random;
  readonly faults: number;
}

interface Scene {
  readonly link: FaultyLink;
  primary: StoreProcess;
  replica: StoreProcess;
  readonly startPrimary: () => Promise<StoreProcess>;
  readonly startReplica: () => Promise<StoreProcess>;
}

/** What a round has seen. */
export interface FaultOutcome {
  readonly faults: readonly string[];
  readonly acknowledged: number;
  readonly reads: number;
}

/**
 * A primary and a replica under load, with faults to their processes and to what is between them, in the middle of whatever they do: at any moment the replica has all keys of a moment of the
 * primary, or, after a crash, none; in the end both have the same, with all that was acknowledged. Throws an `AssertionError` where that is not so.
 */
export async function faultRound({ directory, random, faults }: FaultRound): Promise<FaultOutcome> {
  await using scope = new AsyncDisposableStack();
  const link = scope.use(await startFaultyLink());
  const journaled = random.next() < 0.5;
  const primaryParameters: Partial<ParameterValues> = {
    ...COMMON,
    appendonly: true,
    appendfsync: "always",
    // Often too little to go on from.
    "repl-backlog-size": random.next() < 0.5 ? 16 * 1024 : 1024 * 1024,
    "repl-diskless-sync": random.next() < 0.7,
  };
  const startPrimary = (): Promise<StoreProcess> =>
    startStoreProcess({ dataDir: join(directory, "primary"), parameters: primaryParameters });
  const replicaof = `127.0.0.1 ${link.port}`;
  const startReplica = (): Promise<StoreProcess> =>
    startStoreProcess({ dataDir: join(directory, "replica"), parameters: { ...COMMON, replicaof, appendonly: journaled } });
  const scene: Scene = { link, startPrimary, startReplica, primary: await startPrimary(), replica: await startReplica() };
  scope.defer(() => scene.primary.kill());
  scope.defer(() => scene.replica.kill());
  await fill(scene.primary);
  link.target = scene.primary.port;
  const stop = new AbortController();
  const load = { acknowledged: 0, reads: 0, failed: false };
  const failed = (error: unknown): never => {
    load.failed = true;
    throw error;
  };
  const running = Promise.all([writeUntil(stop.signal, scene, load).catch(failed), readUntil(stop.signal, scene, load).catch(failed)]);
  running.catch(() => undefined); // whoever waits for it below is told
  const done: string[] = [];
  for (let i = 0; i < faults && !load.failed; i++) {
    await realClock.sleep(600 * random.next());
    const fault = FAULTS[random.below(FAULTS.length)]!;
    done.push(fault);
    await strike(fault, scene, random);
  }
  try {
    await bePatient(scene);
    await waitFor(async () => load.failed || (await isFollowing(scene)));
  } finally {
    stop.abort();
    await running;
  }
  await compare(scene, load.acknowledged);
  return { faults: done, acknowledged: load.acknowledged, reads: load.reads };
}

async function fill({ port }: StoreProcess): Promise<void> {
  using client = await RespClient.connect(port);
  for (let i = 0; i < KEYS; i++) await client.call("SET", `key:${i}`, "x".repeat(1000));
  for (const key of [...LEFT, ...RIGHT]) await client.call("RPUSH", key, "0");
  await client.call("SET", "count", "0");
  // A snapshot takes about half a second from now on, so that many faults fall into it.
  await client.call("CONFIG", "SET", "rdb-key-save-delay", "1000");
}

async function strike(fault: (typeof FAULTS)[number], scene: Scene, random: Random): Promise<void> {
  const { link } = scene;
  switch (fault) {
    case "kill-replica":
      await scene.replica.kill();
      scene.replica = await scene.startReplica();
      return;
    case "kill-primary": {
      await scene.primary.kill();
      scene.primary = await scene.startPrimary();
      link.target = scene.primary.port;
      using client = await RespClient.connect(scene.primary.port);
      await client.call("CONFIG", "SET", "rdb-key-save-delay", "1000");
      return;
    }
    case "stop-replica":
    case "stop-primary": {
      const stopped = fault === "stop-replica" ? scene.replica : scene.primary;
      stopped.signal("SIGSTOP");
      await realClock.sleep(STOP_MS_MAX * random.next());
      return stopped.signal("SIGCONT");
    }
    case "silence":
      link.passes(false);
      await realClock.sleep(STOP_MS_MAX * random.next());
      return link.passes(true);
    case "cut":
      return link.cut();
  }
}

/** Writes transactions from one connection after the other, and counts those that were acknowledged. */
async function writeUntil(signal: AbortSignal, scene: Scene, load: { acknowledged: number }): Promise<void> {
  for (let turn = 0; !signal.aborted;)
    await connected(
      () => scene.primary,
      async (client) => {
        while (!signal.aborted) {
          const pair = turn++ % PAIRS;
          const commands = [
            ["MULTI"],
            ["RPUSH", LEFT[pair]!, String(turn)],
            ["RPUSH", RIGHT[pair]!, String(turn)],
            ["SET", `key:${turn % KEYS}`, "x".repeat(turn % 3000)],
            ["INCR", "count"],
            ["EXEC"],
          ];
          const replies = await Promise.all(commands.map((command) => client.call(...command)));
          const last = replies.at(-1);
          if (!Array.isArray(last) || last.some((reply) => reply instanceof Error)) throw new Error(`EXEC answered ${String(last)}`);
          load.acknowledged++;
        }
      },
    );
}

/** Looks at the replica all the time: whatever it answers is of one moment of the primary, with all keys. */
async function readUntil(signal: AbortSignal, scene: Scene, load: { reads: number }): Promise<void> {
  while (!signal.aborted)
    await connected(
      () => scene.replica,
      async (client) => {
        while (!signal.aborted) {
          const pair = load.reads % PAIRS;
          const commands = [["MULTI"], ["DBSIZE"], ["LLEN", LEFT[pair]!], ["LLEN", RIGHT[pair]!], ["EXEC"]];
          const replies = await Promise.all(commands.map((command) => client.call(...command)));
          const last = replies.at(-1);
          if (last instanceof Error) {
            if (!/LOADING|EXECABORT|NOAUTH/.test(last.message)) throw last;
            await realClock.sleep(1);
            continue;
          }
          const [keys, left, right] = last as Reply[];
          assert.ok(keys === 0 || keys === ALL, `the replica has ${String(keys)} of ${ALL} keys`);
          assert.equal(left, right, "both halves of a transaction");
          load.reads++;
          await realClock.sleep(1);
        }
      },
    );
}

/** A connection for as long as it stands. */
async function connected(to: () => StoreProcess, work: (client: RespClient) => Promise<void>): Promise<void> {
  try {
    using client = await RespClient.connect(to().port);
    await work(client);
  } catch (error) {
    if (!/closed|ECONNRESET|EPIPE|ECONNREFUSED/.test(String(error))) throw error;
    await realClock.sleep(10);
  }
}

/** From now on nobody is left because this machine is slow. */
async function bePatient({ primary, replica }: Scene): Promise<void> {
  for (const { port } of [primary, replica]) {
    using client = await RespClient.connect(port);
    await client.call("CONFIG", "SET", "repl-timeout", "60");
  }
}

async function isFollowing({ replica }: Scene): Promise<boolean> {
  using client = await RespClient.connect(replica.port);
  return String(await client.call("INFO", "replication")).includes("master_link_status:up");
}

const offsetOf = async (client: RespClient): Promise<string | undefined> =>
  /master_repl_offset:(\d+)/.exec(String(await client.call("INFO", "replication")))?.[1];

async function compare({ primary, replica }: Scene, acknowledged: number): Promise<void> {
  using one = await RespClient.connect(primary.port);
  using other = await RespClient.connect(replica.port);
  await one.call("CONFIG", "SET", "repl-ping-replica-period", "1000"); // so that the history stands
  await waitFor(async () => (await offsetOf(one)) === (await offsetOf(other)));
  assert.equal(await other.call("DEBUG", "DIGEST"), await one.call("DEBUG", "DIGEST"), "both have the same");
  const count = Number(await one.call("GET", "count"));
  assert.ok(count >= acknowledged, `${acknowledged} transactions were acknowledged, ${count} are there`);
}
