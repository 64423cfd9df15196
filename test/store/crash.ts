import assert from "node:assert/strict";
import { RespClient, type Reply } from "./resp-client.ts";
import { startBusyProcesses } from "./busy-processes.ts";
import { startStoreProcess } from "./store-process.ts";

export type CrashPolicy = "always" | "everysec" | "no";

export interface CrashRound {
  readonly dataDir: string;
  readonly policy: CrashPolicy;
  /** Numbers from 0 up to 1. */
  readonly random: () => number;
  readonly clients: number;
  /** How long there are writes before the kill, at most. */
  readonly loadMsMax: number;
  /** It shares a core with so many processes that want all of it. */
  readonly starvedBy?: number;
}

/** How often one client has written since the start, and how often that was acknowledged. */
interface Written {
  sent: number;
  acknowledged: number;
}

/**
 * Writes from several connections, kills the process in the midst of it, starts it again and looks what is there: of each client a beginning of what it has sent, with all that was
 * acknowledged in it, in order and with whole transactions only: with each policy, as what the system has taken outlives the process. Throws an `AssertionError` where that is not so. Returns how many writes were acknowledged.
 */
export async function crashOnce(round: CrashRound): Promise<number> {
  const { dataDir, policy, random, clients, loadMsMax, starvedBy = 0 } = round;
  const parameters = { appendonly: true, appendfsync: policy, save: "", "auto-aof-rewrite-percentage": 0 } as const;
  const written: Written[] = [];
  {
    using _ = startBusyProcesses(starvedBy);
    await using store = await startStoreProcess({ dataDir, parameters }, { confined: starvedBy > 0 });
    using control = await RespClient.connect(store.port);
    await control.call("FLUSHALL");
    const connections = await Promise.all(Array.from({ length: clients }, () => RespClient.connect(store.port)));
    const writing = connections.map((connection, client) => writeOn(connection, client, (written[client] = { sent: 0, acknowledged: 0 })));
    await sleep(loadMsMax * random());
    // Often in the midst of a rewrite, or soon after one.
    if (random() < 0.5) {
      await control.call("BGREWRITEAOF");
      await sleep(30 * random());
    }
    await store.kill();
    await Promise.all(writing);
    for (const connection of connections) connection[Symbol.dispose]();
  }
  await using store = await startStoreProcess({ dataDir, parameters });
  using reader = await RespClient.connect(store.port);
  for (const [client, { sent, acknowledged }] of written.entries()) await check(reader, client, acknowledged, sent);
  return written.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
}

/** Writes until the connection ends, with several commands under way at a time. */
async function writeOn(connection: RespClient, client: number, written: Written): Promise<void> {
  const UNDER_WAY = 4;
  const one = async (): Promise<void> => {
    for (;;) {
      const number = String(++written.sent);
      const replies = [
        connection.call("MULTI"),
        connection.call("RPUSH", `list:${client}`, number),
        connection.call("SET", `last:${client}`, number),
        connection.call("HSET", `hash:${client}`, String(written.sent % 50), number),
        connection.call("EXEC"),
      ];
      const last = (await Promise.all(replies)).at(-1);
      if (!Array.isArray(last) || last.some((reply) => reply instanceof Error)) throw new Error(`EXEC answered ${String(last)}`);
      written.acknowledged++;
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: UNDER_WAY }, one));
  for (const { reason } of ended as PromiseRejectedResult[]) if (!/closed|ECONNRESET|EPIPE/.test(String(reason))) throw reason;
}

async function check(reader: RespClient, client: number, certain: number, sent: number): Promise<void> {
  const list = (await reader.call("LRANGE", `list:${client}`, "0", "-1")) as Reply[];
  const expected = Array.from({ length: list.length }, (_, index) => String(index + 1));
  assert.deepEqual(list, expected, `client ${client}: in the order in which they were sent`);
  assert.ok(list.length >= certain, `client ${client}: ${certain} writes have to be there, ${list.length} are`);
  assert.ok(list.length <= sent, `client ${client}: no more than it sent`);
  assert.equal(await reader.call("GET", `last:${client}`), list.length === 0 ? null : String(list.length), "whole transactions only");
  const hash = (await reader.call("HVALS", `hash:${client}`)) as string[];
  assert.equal(Math.max(0, ...hash.map(Number)), list.length, "whole transactions only");
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
