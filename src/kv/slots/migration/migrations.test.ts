import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { realClock } from "../../../base/clock.ts";
import type { Log } from "../../../base/log.ts";
import { openRegister } from "../../../register/open-register.ts";
import type { Register } from "../../../register/register.ts";
import { Request } from "../../../wire/resp/request.ts";
import { Client } from "../../clients/client.ts";
import { dispatch } from "../../dispatch.ts";
import { slotOfKey } from "../../keyspace/key-slot.ts";
import { startStore, type RunningStore } from "../../start-store.ts";
import type { Fence } from "../admission.ts";
import { claimSlots } from "../ownership.ts";
import { EMPTY_MAP, ownerOf, type SlotMap, type SlotRange } from "../slot-map.ts";
import { Migrations } from "./migrations.ts";
import type { ClusterSide } from "./side.ts";
import { MIGRATION_LIMITS } from "./types.ts";

const ALL: SlotRange = { start: 0, end: 16_383 };
const SILENT: Log = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {}, child: () => SILENT };

/** A store that knows its slots from a register, without the part of the cluster that answers clients. */
class Node implements ClusterSide {
  readonly id: string;
  readonly register: Register;
  readonly #others: Map<string, Node>;
  readonly dir: string;
  map: SlotMap = EMPTY_MAP;
  fences: readonly Fence[] = [];
  running!: RunningStore;
  migrations!: Migrations;
  client!: Client;

  constructor(id: string, register: Register, others: Map<string, Node>) {
    this.id = id;
    this.register = register;
    this.#others = others;
    this.dir = mkdtempSync(join(tmpdir(), "anax-slots-"));
    others.set(id, this);
  }

  async start(): Promise<void> {
    this.running = await startStore({
      port: 0,
      dataDir: this.dir,
      parameters: { "cluster-enabled": true, appendonly: true, appendfsync: "always", save: "" },
    });
    const { store } = this.running;
    store.migrations = this.migrations = await Migrations.open(store, this, { log: SILENT, limits: () => MIGRATION_LIMITS });
    this.client = new Client(store, store.nextClientId(), { wake: () => {}, resume: () => {}, close: () => {} });
  }

  async stop(): Promise<void> {
    await this.migrations[Symbol.asyncDispose]();
    await this.running[Symbol.asyncDispose]();
  }

  call(...parts: readonly string[]): string {
    dispatch(this.client, Request.of(parts));
    return this.client.reply.take().toString("latin1");
  }

  ownerOf = (slot: number): string => ownerOf(this.map, slot);
  addressOf = (node: string): { host: string; port: number } | undefined => {
    const other = this.#others.get(node);
    return other && { host: "127.0.0.1", port: other.running.port };
  };
  learnMap(map: SlotMap): void {
    if (map.epoch > this.map.epoch) this.map = map;
  }
  setFences(fences: readonly Fence[]): void {
    this.fences = fences;
  }
  setArriving(): void {}

  isFenced = (slot: number): boolean => this.fences.some(({ start, end }) => start <= slot && slot <= end);
}

async function twoNodes(scope: AsyncDisposableStack): Promise<readonly [Node, Node]> {
  const register = scope.use(await openRegister("sqlite::memory:", { clock: realClock }));
  const nodes = new Map<string, Node>();
  const [a, b] = [new Node("a", register, nodes), new Node("b", register, nodes)];
  const { map } = await claimSlots(register, { ranges: [{ ...ALL, epoch: 0 }], owner: "a", by: "create" });
  for (const node of [a, b]) {
    await node.start();
    node.learnMap(map);
    scope.defer(async () => {
      await node.stop();
      rmSync(node.dir, { recursive: true });
    });
  }
  return [a, b];
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function until(done: () => boolean, what: () => string): Promise<void> {
  const endMs = performance.now() + 30_000;
  while (!done()) {
    if (performance.now() > endMs) assert.fail(what());
    await turn();
  }
}

const phaseOf = (node: Node): string => node.migrations.statuses().at(-1)?.phase ?? "";

test("slots move with all kinds of keys while they are written, and no write is lost or made twice", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope);
  for (let i = 0; i < 3000; i++) a.call("SET", `key:${i}`, `value:${i}`);
  for (let i = 0; i < 200; i++) {
    a.call("RPUSH", `{l${i}}list`, "0");
    a.call("SADD", `{l${i}}set`, "a", "b", String(i));
    a.call("ZADD", `{l${i}}zset`, "1", "m", "2.5", "n");
    a.call("HSET", `{l${i}}hash`, "f", "1");
    a.call("XADD", `{l${i}}stream`, "1-1", "f", "v");
    a.call("PEXPIREAT", `{l${i}}set`, "9999999999999");
  }
  const digest = a.call("DEBUG", "DIGEST");
  const moving: SlotRange = { start: 0, end: 8000 };
  const isMoving = (key: string): boolean => slotOfKey(key) <= moving.end;
  const keysMoving = Array.from({ length: 3000 }, (_, i) => `key:${i}`).filter(isMoving);
  a.migrations.moveAll([{ ranges: [moving], to: "b" }]);
  const counts = new Map<string, number>();
  let at = 0;
  await until(
    () => {
      const key = `{l${at++ % 200}}list`;
      if (a.ownerOf(slotOfKey(key)) === "a" && !a.isFenced(slotOfKey(key)) && phaseOf(a) !== "deciding") {
        const other = key.replace("list", "other");
        a.call("RPUSH", key, String(1 + (counts.get(key) ?? 0)));
        a.call("LMOVE", key, other, "LEFT", "RIGHT");
        a.call("LMOVE", other, key, "RIGHT", "LEFT");
        counts.set(key, 1 + (counts.get(key) ?? 0));
      }
      return phaseOf(a) === "finished" && phaseOf(b) === "finished";
    },
    () => JSON.stringify([a.migrations.statuses(), b.migrations.statuses()]),
  );
  assert.ok(counts.size > 0);
  for (let i = 0; i < 200; i++) {
    const key = `{l${i}}list`;
    const wanted = Array.from({ length: 1 + (counts.get(key) ?? 0) }, (_, n) => String(n));
    const reply = (isMoving(key) ? b : a).call("LRANGE", key, "0", "-1");
    assert.deepEqual(
      reply.split("\r\n").filter((_, line) => line % 2 === 0 && line > 0),
      wanted,
      key,
    );
  }
  for (const key of keysMoving) assert.equal(b.call("GET", key), `$${key.length + 2}\r\nvalue:${key.slice(4)}\r\n`);
  await until(
    () => Number(a.call("DBSIZE").slice(1)) + Number(b.call("DBSIZE").slice(1)) === 3000 + 1000,
    () => `${a.call("DBSIZE")} ${b.call("DBSIZE")}`,
  );
  // Back again: both together must be what there was.
  b.migrations.moveAll([{ ranges: [moving], to: "a" }]);
  await until(
    () => phaseOf(a) === "finished" && phaseOf(b) === "finished" && a.migrations.statuses().length === 2,
    () => JSON.stringify(b.migrations.statuses()),
  );
  for (let i = 0; i < 200; i++) a.call("LTRIM", `{l${i}}list`, "0", "0");
  assert.equal(a.call("DEBUG", "DIGEST"), digest);
  assert.deepEqual(a.migrations.statuses()[0]!.fences > 0 && a.migrations.statuses()[0]!.pauseMaxMs > 0, true);
});

test("what has moved is there after both were stopped and started", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope);
  for (let i = 0; i < 1000; i++) a.call("SET", `key:${i}`, String(i));
  a.migrations.moveAll([{ ranges: [{ start: 0, end: 999 }], to: "b" }]);
  await until(
    () => phaseOf(a) === "finished" && phaseOf(b) === "finished",
    () => JSON.stringify(a.migrations.statuses()),
  );
  b.call("SET", "key:after", "1");
  const [counts, digest] = [[a.call("DBSIZE"), b.call("DBSIZE")], b.call("DEBUG", "DIGEST")];
  for (const node of [a, b]) {
    await node.stop();
    await node.start();
  }
  assert.equal(b.call("DEBUG", "DIGEST"), digest);
  assert.deepEqual([a.call("DBSIZE"), b.call("DBSIZE")], counts);
});

test("a move that is cancelled leaves everything where it was", async () => {
  await using scope = new AsyncDisposableStack();
  const [a, b] = await twoNodes(scope);
  for (let i = 0; i < 2000; i++) a.call("SET", `key:${i}`, String(i));
  const digest = a.call("DEBUG", "DIGEST");
  const used = b.running.store.usedBytes;
  a.migrations.moveAll([{ ranges: [ALL], to: "b" }]);
  await until(
    () => phaseOf(a) === "copying",
    () => phaseOf(a),
  );
  assert.equal(a.migrations.cancel(), 1);
  assert.equal(phaseOf(a), "cancelled");
  await until(
    () => phaseOf(b) === "dropped" && b.running.store.usedBytes === used,
    () => `${phaseOf(b)} ${b.running.store.usedBytes} ${used}`,
  );
  assert.deepEqual([b.call("DBSIZE"), a.call("DEBUG", "DIGEST")], [":0\r\n", digest]);
});
