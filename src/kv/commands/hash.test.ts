import assert from "node:assert/strict";
import { test } from "node:test";
import { aStore } from "../store-fixture.ts";

test("numbers in a hash are told as the sums that they became", () => {
  const { call, effects } = aStore();
  call("HSET", "h", "n", "9007199254740993", "f", "1.5");
  effects();
  call("HINCRBY", "h", "n", "2");
  assert.equal(call("HGET", "h", "n"), "9007199254740995");
  assert.equal(call("HINCRBYFLOAT", "h", "f", "0.1"), "1.6");
  assert.deepEqual(effects(), ["HINCRBY h n 2", "HSET h f 1.6"]);
  assert.equal(call("HINCRBY", "h", "f", "1"), "-ERR hash value is not an integer");
  assert.equal(call("HINCRBY", "h", "n", "9223372036854775807"), "-ERR increment or decrement would overflow");
  assert.equal(call("HINCRBYFLOAT", "none", "f", "inf"), "-ERR value is NaN or Infinity");
  assert.equal(call("EXISTS", "none"), 0);
});

test("a refused HSET leaves no key", () => {
  const { call } = aStore();
  assert.equal(call("HSET", "h", "a", "1", "b"), "-ERR wrong number of arguments for 'hset' command");
  assert.equal(call("EXISTS", "h"), 0);
  assert.equal(call("HDEL", "h", "a"), 0);
  call("HSET", "h", "a", "1");
  assert.equal(call("HDEL", "h", "a", "b"), 1);
  assert.equal(call("EXISTS", "h"), 0);
});

test("HSCAN answers fields with their values, a listpack all at once", () => {
  const { call } = aStore();
  for (let i = 0; i < 128; i++) call("HSET", "h", `f${i}`, `v${i}`);
  assert.equal((call("HSCAN", "h", "0") as [string, string[]])[1].length, 256);
  call("HSET", "h", "one more", "v");
  const [cursor, found] = call("HSCAN", "h", "0", "COUNT", "20") as [string, string[]];
  assert.equal(cursor, "109");
  assert.equal(found.length, 40);
  assert.equal(call("HSCAN", "h", "x"), "-ERR invalid cursor");
  assert.equal(call("HSCAN", "h", "0", "COUNT", "0"), "-ERR syntax error");
});
