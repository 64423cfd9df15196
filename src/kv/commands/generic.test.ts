import assert from "node:assert/strict";
import { test } from "node:test";
import { aStore, type Reply } from "../store-fixture.ts";

test("EXPIRE goes by its conditions, and what is told is when the key ends", async () => {
  const { call, effects, store } = aStore();
  const at = (seconds: number): string => String(store.nowMs + seconds * 1000);
  call("SET", "a", "1");
  effects();
  const rows: readonly (readonly [readonly string[], number, readonly string[]])[] = [
    [["EXPIRE", "a", "100", "XX"], 0, []],
    [["EXPIRE", "a", "100", "GT"], 0, []],
    [["EXPIRE", "a", "100", "NX"], 1, [`PEXPIREAT a ${at(100)}`]],
    [["EXPIRE", "a", "100", "GT"], 0, []],
    [["PEXPIRE", "a", "200000", "GT", "XX"], 1, [`PEXPIREAT a ${at(200)}`]],
    [["EXPIRE", "a", "300", "LT"], 0, []],
    [["PERSIST", "a"], 1, ["PERSIST a"]],
    [["EXPIRE", "a", "300", "LT"], 1, [`PEXPIREAT a ${at(300)}`]],
    [["EXPIREAT", "none", "1"], 0, []],
    [["EXPIREAT", "a", "1"], 1, ["DEL a"]],
    [["TTL", "a"], -2, []],
  ];
  for (const [command, reply, told] of rows) {
    assert.equal(call(...command), reply, command.join(" "));
    assert.deepEqual(effects(), told, command.join(" "));
  }
});

test("RENAME, MOVE and COPY take along what the key held and when it ends", () => {
  const { call } = aStore();
  call("SET", "a", "1");
  call("APPEND", "a", "0");
  call("EXPIRE", "a", "100");
  call("SADD", "b", "x");
  call("SET", "c", "c", "EX", "5");
  assert.equal(call("RENAME", "a", "b"), "OK");
  assert.deepEqual([call("GET", "b"), call("TTL", "b"), call("OBJECT", "ENCODING", "b"), call("EXISTS", "a")], ["10", 100, "raw", 0]);
  assert.equal(call("RENAMENX", "b", "c"), 0);
  assert.equal(call("MOVE", "b", "3"), 1);
  call("SELECT", "3");
  assert.deepEqual([call("GET", "b"), call("TTL", "b")], ["10", 100]);
  call("HSET", "h", "f", "1");
  assert.equal(call("COPY", "h", "c", "DB", "0"), 0);
  assert.equal(call("COPY", "h", "c", "DB", "0", "REPLACE"), 1);
  call("HSET", "h", "f", "2");
  call("SELECT", "0");
  assert.deepEqual([call("HGET", "c", "f"), call("TTL", "c")], ["1", -1]);
  assert.equal(call("RENAME", "none", "x"), "-ERR no such key");
  assert.equal(call("COPY", "c", "c"), "-ERR source and destination objects are the same");
});

test("a long list keeps its elements under another name while others are deleted and filled", () => {
  const { call } = aStore();
  const fill = (key: string, element: string): void => {
    for (let i = 0; i < 500; i++) call("LPUSH", key, element.repeat(500));
  };
  for (const key of "abcd") fill(key, key);
  call("RENAME", "a", "b"); // over another
  call("MOVE", "b", "3");
  call("COPY", "c", "copy");
  call("DEL", "c");
  call("SET", "d", "x");
  fill("e", "e");
  call("SELECT", "3");
  assert.deepEqual(call("LRANGE", "b", "0", "-1"), Array(500).fill("a".repeat(500)));
  call("SELECT", "0");
  assert.deepEqual(call("LRANGE", "copy", "0", "-1"), Array(500).fill("c".repeat(500)));
  assert.deepEqual(call("LRANGE", "e", "0", "-1"), Array(500).fill("e".repeat(500)));
});

test("keys that have expired are not found by going through all, and are gone then", async () => {
  const { call, clock, effects, store } = aStore();
  for (let i = 0; i < 50; i++) call("SET", `due-${i}`, "v", "PX", "10");
  call("SET", "stays", "v");
  effects();
  await clock.advance(20);
  const scanned: Reply[] = [];
  let cursor = "0";
  do {
    const [next, keys] = call("SCAN", cursor, "MATCH", "*", "TYPE", "string") as [string, string[]];
    scanned.push(...keys);
    cursor = next;
  } while (cursor !== "0");
  assert.deepEqual(scanned, ["stays"]);
  assert.equal(store.databases[0]!.count, 1);
  assert.equal(effects().length, 50);
  call("SET", "due", "v", "PX", "10");
  await clock.advance(20);
  assert.deepEqual(call("KEYS", "*"), ["stays"]);
  assert.equal(call("RANDOMKEY"), "stays");
});

test("SORT looks up weights and answers by patterns", () => {
  const { call, effects } = aStore();
  call("RPUSH", "list", "3", "1", "2");
  call("MSET", "w-1", "30", "w-2", "20", "w-3", "20", "name-1", "one", "name-3", "three");
  call("HSET", "h-1", "n", "b");
  call("HSET", "h-2", "n", "c");
  const rows: readonly (readonly [readonly string[], Reply])[] = [
    [["list"], ["1", "2", "3"]],
    [
      ["list", "DESC", "LIMIT", "1", "5"],
      ["2", "1"],
    ],
    [
      ["list", "BY", "w-*"],
      ["2", "3", "1"],
    ],
    [
      ["list", "BY", "h-*->n", "ALPHA", "GET", "#", "GET", "h-*->n"],
      ["3", null, "1", "b", "2", "c"],
    ],
    [
      ["list", "BY", "none"],
      ["3", "1", "2"],
    ],
    [
      ["list", "GET", "name-*"],
      ["one", null, "three"],
    ],
    [["list", "BY", "name-*"], "-ERR One or more scores can't be converted into double"],
    [["list", "GET", "name-*", "STORE", "target"], 3],
  ];
  effects();
  for (const [args, reply] of rows) assert.deepEqual(call("SORT", ...args), reply, args.join(" "));
  assert.deepEqual(call("LRANGE", "target", "0", "-1"), ["one", "", "three"]);
  assert.deepEqual(effects(), ["SORT list GET name-* STORE target"]);
  assert.equal(call("SORT_RO", "list", "STORE", "target"), "-ERR syntax error");
  assert.match(String(call("SORT", "w-1")), /^-WRONGTYPE/);
});

test("a counter is written over in place, whatever its length and sign", () => {
  const { call } = aStore();
  let model = 0;
  for (const by of [1, 8, 1, 89, 1, -101, -9, -1, 111, 9_007_199_254_740_000, 800, -9_007_199_254_740_990, 5]) {
    model += by;
    assert.equal(call("INCRBY", "counter", String(by)), model);
    assert.equal(call("GET", "counter"), String(model));
  }
  assert.equal(call("APPEND", "counter", "0"), String(model).length + 1);
  assert.equal(call("OBJECT", "ENCODING", "counter"), "raw");
  assert.equal(call("INCR", "counter"), model * 10 + 1);
  assert.equal(call("OBJECT", "ENCODING", "counter"), "int");
});

test("MIGRATE knows its keys from the words of AUTH, and a wrong password is noted with the command that it came with", () => {
  const { call } = aStore();
  const migrate = ["MIGRATE", "host", "6379", "", "0", "500"];
  assert.deepEqual(call("COMMAND", "GETKEYS", ...migrate, "AUTH", "KEYS", "KEYS", "a", "b"), ["a", "b"]);
  assert.deepEqual(call("COMMAND", "GETKEYS", ...migrate, "AUTH2", "KEYS", "KEYS", "KEYS", "a"), ["a"]);
  call("CONFIG", "SET", "requirepass", "secret");
  assert.match(String(call("AUTH", "ann", "wrong")), /^-WRONGPASS/);
  const [entry] = call("ACL", "LOG") as Reply[][];
  assert.equal(entry![entry!.indexOf("object") + 1], "AUTH");
});
