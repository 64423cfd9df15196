import assert from "node:assert/strict";
import { test } from "node:test";
import { aStore, type StoreFixture } from "./store-fixture.ts";

const VALUE = "v".repeat(1000);
const OUT_OF_MEMORY = "-OOM command not allowed when used memory > 'maxmemory'.";

/** Sets `maxmemory` so that so many keys more have room. */
const roomFor = ({ store, call }: StoreFixture, keys: number): unknown =>
  call("CONFIG", "SET", "maxmemory", String(store.usedBytes + keys * 1100));

const presentOf = (fixture: StoreFixture, prefix: string): number => (fixture.call("KEYS", `${prefix}*`) as string[]).length;

test("keys that were not used go first with LRU, those used seldom with LFU, those that end first with TTL", async () => {
  for (const policy of ["allkeys-lru", "volatile-lru", "allkeys-lfu", "volatile-lfu", "volatile-ttl"]) {
    const fixture = aStore({ "maxmemory-policy": policy, "maxmemory-samples": 10 });
    const { call, clock, store } = fixture;
    const set = (key: string, seconds: number): unknown => call("SET", key, VALUE, "EX", String(seconds));
    for (let i = 0; i < 200; i++) set(`cold-${i}`, 1000);
    await clock.advance(5000);
    for (let i = 0; i < 200; i++) set(`hot-${i}`, 100_000);
    for (let i = 0; i < 200; i++) for (let n = 0; n < 60; n++) call("GET", `hot-${i}`);
    roomFor(fixture, 0);
    for (let i = 0; i < 100; i++) set(`new-${i}`, 100_000);
    // LFU may take new ones, too; what was used often stays.
    assert.ok(presentOf(fixture, "hot-") > 190, `${policy}: ${presentOf(fixture, "hot-")} of 200 hot keys are left`);
    assert.ok(presentOf(fixture, "cold-") < 160, `${policy}: ${presentOf(fixture, "cold-")} of 200 cold keys are left`);
    assert.ok(store.usedBytes < store.parameters.maxmemory + 4096);
    assert.equal(store.statistics.evictedKeys, 500 - (call("DBSIZE") as number));
  }
});

test("only keys that expire go with a volatile policy; when there are none, what needs memory is refused", () => {
  const fixture = aStore({ "maxmemory-policy": "volatile-random" });
  const { call, effects } = fixture;
  call("SET", "stays", VALUE);
  call("SET", "goes", VALUE, "EX", "100");
  effects();
  roomFor(fixture, -1);
  assert.equal(call("SET", "a", "1"), "OK");
  assert.deepEqual(effects(), ["DEL goes", "SET a 1"]);
  roomFor(fixture, -2);
  assert.equal(call("SET", "b", VALUE), OUT_OF_MEMORY);
  assert.equal(call("GET", "stays"), VALUE);
  assert.equal(call("DEL", "stays"), 1);
});

test("a transaction is refused where it begins to need memory", () => {
  const { call, store } = aStore();
  call("MULTI");
  call("SET", "a", "1");
  store.parameters.maxmemory = 1;
  assert.equal(call("GET", "a"), OUT_OF_MEMORY);
  assert.match(String(call("EXEC")), /^-EXECABORT/);
  store.parameters.maxmemory = 0;
  for (const [command, reply] of [
    ["SET", `-EXECABORT Transaction discarded because of: ${OUT_OF_MEMORY.slice(1)}`],
    ["GETSET", `-EXECABORT Transaction discarded because of: ${OUT_OF_MEMORY.slice(1)}`],
    ["GETRANGE", [""]],
  ] as const) {
    call("MULTI");
    call(command, "a", ...(command === "GETRANGE" ? ["0", "1"] : ["1"]));
    store.parameters.maxmemory = 1;
    assert.deepEqual(call("EXEC"), reply);
    store.parameters.maxmemory = 0;
  }
});

test("memory is counted by what changes", () => {
  const { call, store } = aStore();
  const empty = store.usedBytes;
  const members = Array.from({ length: 1000 }, (_, i) => `member-${i}`);
  call("SADD", "set", ...members);
  const filled = store.usedBytes;
  assert.ok(filled > empty + 1000 * 30);
  call("SREM", "set", ...members.slice(0, 900));
  const few = store.usedBytes;
  assert.ok(few < filled - 500 * 30); // what was lost is reclaimed in halves
  call("RENAME", "set", "other");
  assert.ok(Math.abs(store.usedBytes - few) < 100);
  call("COPY", "other", "copy");
  assert.ok(store.usedBytes > few + 500 * 30);
  call("DEL", "other", "copy");
  assert.equal(store.usedBytes, empty);
  call("HSET", "hash", "f", "v".repeat(100_000));
  assert.ok(store.usedBytes > empty + 100_000);
  call("HSET", "hash", "f", "v");
  assert.ok(store.usedBytes < empty + 4000);
});
