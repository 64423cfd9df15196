import assert from "node:assert/strict";
import { test } from "node:test";
import { startHousekeeping } from "./housekeeping.ts";
import { aStore } from "./store-fixture.ts";

test("keys go when their time has come though nobody asks, in all databases, and others stay", async () => {
  const { call, clock, store, effects } = aStore();
  using _ = startHousekeeping(store);
  for (const db of ["0", "5"]) {
    call("SELECT", db);
    for (let i = 0; i < 10_000; i++) call("SET", `due-${i}`, "v", "PX", String(500 + (i % 100)));
    for (let i = 0; i < 10_000; i++) call("SET", `later-${i}`, "v", "PX", "5000");
    for (let i = 0; i < 100; i++) call("SET", `never-${i}`, "v");
  }
  effects();
  await clock.advance(400);
  assert.equal(store.databases[5]!.count, 20_100);
  await clock.advance(600);
  assert.deepEqual([store.databases[0]!.count, store.databases[5]!.count], [10_100, 10_100]);
  assert.equal(effects().filter((effect) => effect.startsWith("DEL due-")).length, 20_000);
  store.expiresActively = false;
  await clock.advance(10_000);
  assert.equal(store.databases[0]!.count, 10_100);
  store.expiresActively = true;
  await clock.advance(1000);
  assert.deepEqual([store.databases[0]!.count, store.databases[5]!.count], [100, 100]);
});

test("a replica waits for its primary to say that a key is gone", async () => {
  const { call, clock, store } = aStore();
  using _ = startHousekeeping(store);
  call("SET", "a", "v", "PX", "100");
  store.databases[0]!.expiryMode = "hide";
  await clock.advance(1000);
  assert.equal(store.databases[0]!.count, 1);
  assert.equal(call("GET", "a"), null);
});
