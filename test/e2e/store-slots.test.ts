import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { slotOfKey } from "../../src/kv/keyspace/key-slot.ts";
import type { Migrations } from "../../src/kv/slots/migration/migrations.ts";
import { startStore, type RunningStore } from "../../src/kv/start-store.ts";
import { openRegister } from "../../src/register/open-register.ts";
import { runAnax } from "../kit/anax.ts";
import { waitFor } from "../kit/process.ts";
import { aSmallDisk } from "../kit/small-disk.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { RespClient, type Reply } from "../store/resp-client.ts";

/** A node in this process, which can be started again. */
class Node {
  readonly #dir: string;
  readonly #register: string;
  /** A journal; or snapshots only, when asked for. */
  appendonly = true;
  #running!: RunningStore;
  #client!: RespClient;

  constructor(directory: string, name: string, dir = join(directory, name)) {
    this.#dir = dir;
    this.#register = `sqlite:${join(directory, "register.db")}`;
  }

  async start(): Promise<void> {
    this.#running = await startStore({
      port: this.#running?.port ?? 0,
      dataDir: this.#dir,
      openRegister: (url, timeoutMs) => openRegister(url, { clock: realClock, timeoutMs }),
      parameters: {
        "cluster-enabled": true,
        "cluster-register": this.#register,
        "cluster-slot-migration-write-pause-timeout": 2000,
        appendonly: this.appendonly,
        appendfsync: "always",
        save: "",
      },
    });
    this.#client = await RespClient.connect(this.#running.port);
  }

  async stop(): Promise<void> {
    this.#client[Symbol.dispose]();
    await this.#running[Symbol.asyncDispose]();
  }

  get port(): number {
    return this.#running.port;
  }

  get migrations(): Migrations {
    return this.#running.store.migrations!; // a node of a cluster has it
  }

  get usedBytes(): number {
    return this.#running.store.usedBytes;
  }

  get id(): string {
    return this.#running.store.cluster!.node.id; // as above
  }

  /** It has read who owns what, and has done what follows from that. */
  get hasPlace(): boolean {
    return this.#running.store.cluster!.node.leaseHolds; // as above
  }

  get phase(): string {
    return this.migrations.statuses().at(-1)?.phase ?? "";
  }

  call(...parts: readonly string[]): Promise<Reply> {
    return this.#client.call(...parts);
  }
}

/** A cluster whose slots are all the first node's. */
async function twoNodes(
  scope: AsyncDisposableStack,
  { dirOfSecond, journalOfFirst = true }: { readonly dirOfSecond?: string; readonly journalOfFirst?: boolean } = {},
): Promise<readonly [Node, Node]> {
  const directory = scope.use(await temporaryDirectory());
  const [a, b] = [new Node(directory.path, "a"), new Node(directory.path, "b", dirOfSecond)];
  a.appendonly = journalOfFirst;
  for (const node of [a, b]) {
    await node.start();
    scope.defer(() => node.stop());
  }
  assert.equal(await b.call("CLUSTER", "MEET", "127.0.0.1", String(a.port)), "OK");
  await waitFor(async () => String(await a.call("CLUSTER", "NODES")).includes(b.id));
  assert.equal(await a.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383"), "OK");
  for (const node of [a, b]) await waitFor(async () => String(await node.call("CLUSTER", "INFO")).includes("cluster_state:ok"));
  return [a, b];
}

const bothFinished = (a: Node, b: Node): Promise<void> => waitFor(async () => a.phase === "finished" && b.phase === "finished");

/** Looks with each turn of this process, in which the nodes are: what is waited for is soon over. */
async function inATurn(condition: () => boolean): Promise<void> {
  const endMs = realClock.nowMs() + 60_000;
  while (!condition()) {
    assert.ok(realClock.nowMs() < endMs, "it has not come about");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const sizes = async (...nodes: readonly Node[]): Promise<number[]> =>
  Promise.all(nodes.map(async (node) => Number(await node.call("DBSIZE"))));

/** As a control plane of DragonflyDB writes it: all slots are the first node's, of which some are to move. */
const dragonflyConfig = (a: Node, b: Node, moves: readonly object[]): string => {
  const [from, to] = [a, b].map(({ id, port }) => ({ id, ip: "127.0.0.1", port }));
  const { id, ...address } = to!;
  return JSON.stringify([
    { slot_ranges: [{ start: 0, end: 16_383 }], master: from, replicas: [], migrations: [{ node_id: id, ...address, slot_ranges: moves }] },
    { slot_ranges: [], master: to, replicas: [] },
  ]);
};

const isMoving = (key: string): boolean => slotOfKey(key) <= 8000;

test("slots move with all kinds of keys while they are written, there and back", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope);
  const fills: Promise<Reply>[] = [];
  for (let i = 0; i < 2000; i++) fills.push(a.call("SET", `key:${i}`, `value:${i}`));
  for (let i = 0; i < 100; i++) {
    fills.push(a.call("RPUSH", `{l${i}}list`, "0"));
    fills.push(a.call("SADD", `{l${i}}set`, "a", "b", String(i)));
    fills.push(a.call("ZADD", `{l${i}}zset`, "1", "m", "2.5", "n"));
    fills.push(a.call("HSET", `{l${i}}hash`, "f", "1"));
    fills.push(a.call("XADD", `{l${i}}stream`, "1-1", "f", "v"));
    fills.push(a.call("PEXPIREAT", `{l${i}}set`, "9999999999999"));
    fills.push(a.call("APPEND", `{l${i}}raw`, "abc"));
  }
  await Promise.all(fills);
  const digest = await a.call("DEBUG", "DIGEST");
  assert.equal(await a.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", "8000", "NODE", b.id), "OK");
  const counts = new Map<string, number>();
  for (let at = 0; a.phase !== "finished" || b.phase !== "finished"; at++) {
    const key = `{l${at % 100}}list`;
    const other = `{l${at % 100}}other`;
    const next = 1 + (counts.get(key) ?? 0);
    const replies = await Promise.all([
      a.call("RPUSH", key, String(next)),
      a.call("LMOVE", key, other, "LEFT", "LEFT"),
      a.call("LMOVE", other, key, "LEFT", "LEFT"),
    ]);
    if (replies.every((reply) => !(reply instanceof Error))) counts.set(key, next);
    else assert.match(String(replies.find((reply) => reply instanceof Error)), /MOVED|TRYAGAIN/);
  }
  assert.ok(counts.size > 0);
  for (let i = 0; i < 100; i++) {
    const key = `{l${i}}list`;
    const wanted = Array.from({ length: 1 + (counts.get(key) ?? 0) }, (_, n) => String(n));
    const reply = await (isMoving(key) ? b : a).call("LRANGE", key, "0", "-1");
    assert.deepEqual((reply as string[]).slice(0, wanted.length), wanted, key);
  }
  for (let i = 0; i < 2000; i++) if (isMoving(`key:${i}`)) assert.equal(await b.call("GET", `key:${i}`), `value:${i}`);
  await waitFor(async () => (await sizes(a, b)).reduce((sum, size) => sum + size) === 2000 + 600);
  assert.equal(await b.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", "8000", "NODE", a.id), "OK");
  await bothFinished(a, b);
  await waitFor(async () => (await sizes(b))[0] === 0);
  for (let i = 0; i < 100; i++) await a.call("LTRIM", `{l${i}}list`, "0", "0");
  assert.equal(await a.call("DEBUG", "DIGEST"), digest);
  const [first] = a.migrations.statuses();
  assert.ok(first!.fences > 0 && first!.pauseMaxMs > 0);
});

test("what has moved is there after both were stopped and started", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope);
  await Promise.all(Array.from({ length: 1000 }, (_, i) => a.call("SET", `key:${i}`, String(i))));
  assert.equal(await a.call("DFLYCLUSTER", "CONFIG", dragonflyConfig(a, b, [{ start: 0, end: 4000 }])), "OK");
  await bothFinished(a, b);
  await b.call("SET", "{key:4}after", "1");
  await waitFor(async () => (await sizes(a, b)).reduce((sum, size) => sum + size) <= 1001);
  const [counts, digests] = [await sizes(a, b), [await a.call("DEBUG", "DIGEST"), await b.call("DEBUG", "DIGEST")]];
  assert.ok(counts[1]! > 100);
  for (const node of [a, b]) {
    await node.stop();
    await node.start();
  }
  assert.deepEqual([await a.call("DEBUG", "DIGEST"), await b.call("DEBUG", "DIGEST")], digests);
  assert.deepEqual(await sizes(a, b), counts);
  assert.match(JSON.stringify(await b.call("DFLYCLUSTER", "SLOT-MIGRATION-STATUS")), /"in","[0-9a-f]{40}","FINISHED"/);
});

test("a node that has given its slots away and follows who got them still has their keys after a start", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope);
  for (let i = 0; i < 100; i++) await a.call("SET", `key:${i}`, "v");
  assert.equal(await a.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", "16383", "NODE", b.id), "OK");
  await bothFinished(a, b);
  await waitFor(async () => (await sizes(a))[0] === 0);
  assert.equal(await a.call("CLUSTER", "REPLICATE", b.id), "OK");
  await waitFor(async () => (await sizes(a))[0] === 100);
  for (const node of [b, a]) await node.stop(); // nobody gives it another copy
  await a.start();
  await waitFor(async () => (await sizes(a)).length === 1 && a.hasPlace);
  assert.deepEqual(await sizes(a), [100]);
  await b.start();
});

test("a node that comes back with keys of slots that have gone long since drops them, whatever the register says of how they went", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope, { journalOfFirst: false });
  for (let i = 0; i < 100; i++) await a.call("SET", `key:${i}`, "v");
  const moving = Array.from({ length: 100 }, (_, i) => `key:${i}`).filter(isMoving).length;
  assert.equal(await a.call("SAVE"), "OK"); // the last that it has, as after a crash
  assert.equal(await a.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", "8000", "NODE", b.id), "OK");
  await bothFinished(a, b);
  await b.stop();
  await b.start(); // it claims its slots anew
  await waitFor(async () => (await b.call("GET", "key:4")) === "v");
  await a.stop();
  await a.start();
  await waitFor(async () => String(await sizes(a, b)) === String([100 - moving, moving]));
});

test("slots that have no room on the target's disk leave nothing there, full as it is", async (context) => {
  await using disk = await aSmallDisk(context, { bytes: 8 * 1024 * 1024 });
  if (disk === undefined) return;
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope, { dirOfSecond: disk.dir });
  for (let i = 0; i < 100; i++) await a.call("SET", `key:${i}`, "x".repeat(100_000));
  assert.equal(await a.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", "16383", "NODE", b.id), "OK");
  await waitFor(async () => b.migrations.statuses().some(({ lastError }) => /full|space/.test(lastError ?? "")));
  await a.call("CLUSTER", "CANCELSLOTMIGRATIONS");
  await waitFor(async () => readdirSync(join(disk.dir, "slot-migrations")).every((name) => name === "log"));
  assert.equal(await a.call("DBSIZE"), 100);
});

test("anax slots says who has what, and moves it", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope);
  await Promise.all(Array.from({ length: 300 }, (_, i) => a.call("SET", `key:${i}`, String(i))));
  const slots = async (...args: readonly string[]): Promise<readonly Record<string, unknown>[]> => {
    const { code, stdout, stderr } = await runAnax(["slots", ...args, "--url", `redis://127.0.0.1:${b.port}`, "--json"]);
    assert.equal(code, 0, stderr);
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>); // lines of JSON
  };
  const moves = await slots("move", "0-99", "16000-16383", "--to", b.id.slice(0, 10));
  assert.deepEqual([moves.at(-1)?.["phase"], moves.at(-1)?.["slot_ranges"]], ["finished", "0-99 16000-16383"]);
  const nodes = await slots("list");
  const own = nodes.find(({ id }) => id === b.id);
  assert.deepEqual([own?.["slots"], own?.["ranges"], own?.["keys"]], [484, "0-99 16000-16383", Number(await b.call("DBSIZE"))]);
  assert.deepEqual((await slots("status")).map(({ operation, phase }) => `${String(operation)} ${String(phase)}`).toSorted(), [
    "EXPORT finished",
    "IMPORT finished",
  ]);
  const refused = await runAnax(["slots", "cancel", "--url", `redis://127.0.0.1:${a.port}`]);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /no such move is under way/);
});

test("a control plane made for DragonflyDB moves slots, and sees how", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope);
  for (const key of ["{key:4}a", "{key:4}b"]) await a.call("SET", key, "1");
  await a.call("GET", "{key:4}a");
  const slot = slotOfKey("key:4");
  const [info] = (await a.call("DFLYCLUSTER", "GETSLOTINFO", "SLOTS", String(slot))) as Reply[][];
  assert.deepEqual(info!.slice(0, 8), [slot, "key_count", 2, "total_reads", 1, "total_writes", 2, "memory_bytes"]);
  assert.ok(Number(info![8]) > 0);
  assert.equal(((await a.call("DFLYCLUSTER", "GETSLOTINFO", "SLOTS", "5-9", "11")) as Reply[]).length, 6);

  const flow = async (): Promise<string> => String(await b.call("DFLYMIGRATE", "FLOW", a.id, "0"));
  const init = (): Promise<Reply> => b.call("DFLYMIGRATE", "INIT", a.id, "2", "0", "4000", "16000", "16000");
  assert.deepEqual(await init(), new Error("UNKNOWN_MIGRATION"));
  assert.deepEqual(await b.call("DFLYMIGRATE", "ACK", a.id, "1"), new Error("UNKNOWN_MIGRATION"));
  assert.match(await flow(), /UNKNOWN_MIGRATION/);
  assert.match(String(await a.call("DFLYCLUSTER", "CONFIG", "[]")), /^Error: ERR Invalid cluster configuration\.$/);
  const wanted = dragonflyConfig(a, b, [{ start: 0, end: 4000 }, { start: 16_000, end: 16_000 }]); // prettier-ignore
  for (const node of [b, a]) assert.equal(await node.call("DFLYCLUSTER", "CONFIG", wanted), "OK");
  await bothFinished(a, b);
  assert.deepEqual(await a.call("DFLYCLUSTER", "SLOT-MIGRATION-STATUS"), [["out", b.id, "FINISHED", 2, "0", "[0, 4000], [16000, 16000]"]]);
  assert.deepEqual(await b.call("DFLYCLUSTER", "SLOT-MIGRATION-STATUS", "nobody"), []);
  assert.equal(await init(), "OK");
  assert.equal(await b.call("DFLYMIGRATE", "ACK", a.id, "1"), 1);
  assert.match(await flow(), /DFLYMIGRATE FLOW is not taken/);
  await b.call("CONFIG", "SET", "maxmemory", "1");
  assert.deepEqual(await init(), new Error("INCOMING_MIGRATION_OOM"));
});

test("no slots move to a replica, and nobody becomes one while slots move there", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope);
  const move = ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", "8000", "NODE", b.id];
  await Promise.all(Array.from({ length: 2000 }, (_, i) => a.call("SET", `key:${i}`, String(i))));
  a.migrations.moveAll([{ ranges: [{ start: 0, end: 8000 }], to: b.id }]);
  await inATurn(() => b.migrations.active);
  assert.match(String(await b.call("CLUSTER", "REPLICATE", a.id)), /ERR (?:Slots are being moved to this node|To set a master)/);
  await bothFinished(a, b);
  assert.equal(await b.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", "8000", "NODE", a.id), "OK");
  await bothFinished(a, b);
  await waitFor(async () => (await b.call("CLUSTER", "REPLICATE", a.id)) === "OK");
  await waitFor(async () => String(await a.call("CLUSTER", "NODES")).includes(`slave ${a.id}`));
  assert.deepEqual(await a.call(...move), new Error("ERR Target node is a replica: name its primary"));
  assert.deepEqual(await b.call("DFLYMIGRATE", "INIT", a.id, "1", "0", "8000"), new Error("UNKNOWN_MIGRATION"));
});

test("a move that is cancelled leaves everything where it was", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope);
  await Promise.all(Array.from({ length: 20_000 }, (_, i) => a.call("SET", `key:${i}`, String(i))));
  const digest = await a.call("DEBUG", "DIGEST");
  const used = b.usedBytes;
  a.migrations.moveAll([{ ranges: [{ start: 0, end: 16_383 }], to: b.id }]);
  await inATurn(() => a.phase === "copying");
  assert.equal(await a.call("CLUSTER", "CANCELSLOTMIGRATIONS"), "OK");
  assert.equal(a.phase, "cancelled");
  assert.deepEqual(await a.call("DFLYCLUSTER", "SLOT-MIGRATION-STATUS"), []);
  await waitFor(async () => b.phase === "dropped" && b.usedBytes === used);
  assert.deepEqual([await b.call("DBSIZE"), await a.call("DEBUG", "DIGEST")], [0, digest]);
});
