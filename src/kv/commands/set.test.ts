import assert from "node:assert/strict";
import { test } from "node:test";
import { aStore } from "../store-fixture.ts";

test("what SPOP takes by chance is told as what it was", () => {
  const { call, effects } = aStore();
  const members = Array.from({ length: 3000 }, (_, i) => `m${i}`);
  call("SADD", "set", ...members);
  effects();
  const one = call("SPOP", "set") as string;
  assert.deepEqual(effects(), [`SREM set ${one}`]);
  const many = call("SPOP", "set", "2500") as string[];
  const told = effects().map((effect) => effect.split(" "));
  assert.deepEqual(
    told.map((parts) => parts.length - 2),
    [1024, 1024, 452],
  );
  assert.deepEqual(
    told.flatMap((parts) => parts.slice(2)),
    many,
  );
  assert.equal(new Set([one, ...many]).size, 2501);
  assert.equal(call("SCARD", "set"), 499);
  assert.equal((call("SPOP", "set", "499") as string[]).length, 499);
  assert.deepEqual(effects(), ["DEL set"]);
  assert.equal(call("EXISTS", "set"), 0);
});

test("a set without members is no key, whoever took the last one", () => {
  const { call } = aStore();
  for (const take of [
    ["SREM", "a", "1"],
    ["SPOP", "a"],
    ["SPOP", "a", "5"],
    ["SMOVE", "a", "b", "1"],
    ["SDIFFSTORE", "a", "a", "a"],
  ]) {
    call("SADD", "a", "1");
    call(...take);
    assert.equal(call("EXISTS", "a"), 0, take.join(" "));
  }
});

test("sets are compared whatever keeps their members", () => {
  const { call } = aStore();
  const numbers = Array.from({ length: 600 }, (_, i) => String(i));
  call("SADD", "few", "1", "5", "1000");
  call("SADD", "many", ...numbers);
  call("SADD", "texts", "a", "5", "1", "1000");
  assert.deepEqual(
    ["few", "many", "texts"].map((key) => call("OBJECT", "ENCODING", key)),
    ["intset", "hashtable", "hashtable"],
  );
  assert.deepEqual(call("SINTER", "many", "few", "texts"), ["1", "5"]);
  assert.deepEqual(call("SDIFF", "texts", "many"), ["a", "1000"]);
  assert.equal(call("SUNIONSTORE", "all", "few", "many", "texts", "none"), 602);
  assert.equal(call("SINTERCARD", "2", "all", "many", "LIMIT", "7"), 7);
  assert.equal(call("SINTERCARD", "2", "all", "many"), 600);
});
