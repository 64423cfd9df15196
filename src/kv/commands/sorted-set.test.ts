import assert from "node:assert/strict";
import { test } from "node:test";
import { aStore } from "../store-fixture.ts";

const NOT_COMPATIBLE = "-ERR GT, LT, and/or NX options at the same time are not compatible";

for (const [options, before, score, after] of [
  ["", "5", "3", "3"],
  ["NX", "5", "3", "5"],
  ["XX", "5", "3", "3"],
  ["GT", "5", "3", "5"],
  ["GT", "5", "7", "7"],
  ["LT", "5", "7", "5"],
  ["XX LT CH", "5", "3", "3"],
  ["INCR", "5", "3", "8"],
  ["INCR GT", "5", "-3", "5"],
] as const)
  test(`ZADD ${options} ${score} makes ${after} of ${before}`, () => {
    const { call } = aStore();
    call("ZADD", "z", before, "m");
    call("ZADD", "z", ...options.split(" ").filter(Boolean), score, "m");
    assert.equal(call("ZSCORE", "z", "m"), after);
  });

test("ZADD counts what is new, or with CH what has changed, and answers the score with INCR", () => {
  const { call, effects } = aStore();
  assert.equal(call("ZADD", "z", "1", "a", "2", "b"), 2);
  assert.equal(call("ZADD", "z", "1", "a", "3", "b", "4", "c"), 1);
  assert.equal(call("ZADD", "z", "CH", "1", "a", "5", "b", "6", "d"), 2);
  assert.equal(call("ZADD", "z", "INCR", "XX", "1", "missing"), null);
  assert.equal(call("ZADD", "z", "INCR", "0.5", "a"), "1.5");
  assert.equal(call("ZADD", "z", "1.5", "a"), 0);
  assert.equal(effects().length, 4);
});

test("ZADD refuses what makes no sense, and then changes nothing", () => {
  const { call } = aStore();
  assert.equal(call("ZADD", "z", "1", "a", "x", "b"), "-ERR value is not a valid float");
  assert.equal(call("ZADD", "z", "nan", "a"), "-ERR value is not a valid float");
  assert.equal(call("ZADD", "z", `${BigInt(Number.MAX_VALUE)}.${"0".repeat(17)}`, "largest"), 1);
  assert.equal(call("ZSCORE", "z", "largest"), "1.7976931348623157e+308");
  assert.equal(call("ZREM", "z", "largest"), 1);
  assert.equal(call("ZADD", "z", "1", "a", "2"), "-ERR syntax error");
  assert.equal(call("ZADD", "z", "NX", "GT", "1", "a"), NOT_COMPATIBLE);
  assert.equal(call("ZADD", "z", "LT", "GT", "1", "a"), NOT_COMPATIBLE);
  assert.equal(call("ZADD", "z", "constructor", "a"), "-ERR value is not a valid float");
  assert.equal(call("EXISTS", "z"), 0);
  call("ZADD", "z", "inf", "a");
  assert.equal(call("ZINCRBY", "z", "-inf", "a"), "-ERR resulting score is not a number (NaN)");
  assert.equal(call("ZSCORE", "z", "a"), "inf");
});

test("ranges by rank, score and text can be turned round and cut", () => {
  const { call } = aStore();
  call("ZADD", "z", ...["a", "b", "c", "d", "e"].flatMap((member, i) => [String(i), member]));
  const range = (...parts: string[]): unknown => call("ZRANGE", "z", ...parts);
  assert.deepEqual(range("1", "-2"), ["b", "c", "d"]);
  assert.deepEqual(range("0", "1", "REV"), ["e", "d"]);
  assert.deepEqual(range("(1", "3", "BYSCORE"), ["c", "d"]);
  assert.deepEqual(range("3", "-inf", "BYSCORE", "REV", "LIMIT", "1", "2"), ["c", "b"]);
  assert.deepEqual(range("-inf", "+inf", "BYSCORE", "LIMIT", "-1", "2"), []);
  assert.deepEqual(range("-inf", "+inf", "BYSCORE", "LIMIT", "3", "-1"), ["d", "e"]);
  assert.deepEqual(range("(b", "[d", "BYLEX"), ["c", "d"]);
  assert.deepEqual(range("+", "(c", "BYLEX", "REV"), ["e", "d"]);
  assert.equal(call("ZRANGESTORE", "y", "z", "1", "2"), 2);
  assert.deepEqual(call("ZRANGE", "y", "0", "-1", "WITHSCORES"), ["b", "1", "c", "2"]);
  assert.equal(call("ZRANGESTORE", "y", "z", "7", "9"), 0);
  assert.equal(call("EXISTS", "y"), 0);
});

test("sets take part in unions as if each member had the score 1, and infinities of both signs add up to 0", () => {
  const { call } = aStore();
  call("SADD", "set", "a", "b");
  call("ZADD", "z", "inf", "a", "2", "c");
  assert.deepEqual(call("ZUNION", "2", "set", "z", "WEIGHTS", "3", "1", "WITHSCORES"), ["c", "2", "b", "3", "a", "inf"]);
  assert.deepEqual(call("ZUNION", "2", "z", "z", "WEIGHTS", "1", "-1", "WITHSCORES"), ["a", "0", "c", "0"]);
  assert.deepEqual(call("ZINTER", "2", "set", "z", "AGGREGATE", "MIN", "WITHSCORES"), ["a", "1"]);
  assert.deepEqual(call("ZDIFF", "2", "z", "set"), ["c"]);
  assert.equal(call("ZINTERCARD", "2", "z", "z", "LIMIT", "1"), 1);
  assert.equal(call("ZUNION", "1", "z", "AGGREGATE", "constructor"), "-ERR syntax error");
});

test("what is emptied is gone", () => {
  const { call, effects } = aStore();
  call("ZADD", "z", "1", "a", "2", "b", "3", "c");
  assert.deepEqual(call("ZPOPMAX", "z", "2"), ["c", "3", "b", "2"]);
  assert.deepEqual(call("ZMPOP", "2", "none", "z", "MIN", "COUNT", "9"), ["z", [["a", "1"]]]);
  assert.equal(call("EXISTS", "z"), 0);
  assert.deepEqual(effects().slice(1), ["ZPOPMAX z 2", "ZPOPMIN z 1"]);
});
