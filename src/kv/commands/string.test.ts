import assert from "node:assert/strict";
import { test } from "node:test";
import { aStore } from "../store-fixture.ts";

test("INCRBY gives the sum of any two integers, where it lies or elsewhere, and an error changes nothing", () => {
  const { call } = aStore();
  const rows: readonly (readonly [before: string, by: string, after: string | undefined])[] = [
    ["0", "0", "0"],
    ["9", "1", "10"],
    ["-1", "1", "0"],
    ["0", "-1", "-1"],
    ["10", "-11", "-1"],
    ["99999999", "1", "100000000"],
    ["2147483647", "1", "2147483648"],
    ["2147483648", "-1", "2147483647"],
    ["-2147483648", "-1", "-2147483649"],
    ["123456789012345", "111111111111111", "234567900123456"],
    ["9007199254740991", "1", "9007199254740992"],
    ["9223372036854775806", "1", "9223372036854775807"],
    ["9223372036854775807", "1", undefined],
    ["-9223372036854775808", "-1", undefined],
    ["01", "1", undefined],
    ["1.5", "1", undefined],
    ["", "1", undefined],
  ];
  // Neighbours of other lengths lie in records of other sizes.
  for (const key of ["k", "key of 20 letters ..", "x".repeat(500)])
    for (const [before, by, after] of rows) {
      call("SET", key, before, "EX", "1000");
      const reply = call("INCRBY", key, by);
      if (after === undefined) assert.match(String(reply), /^-ERR/, `${before} + ${by}`);
      else assert.equal(String(reply), String(Number(after)), `${before} + ${by}`);
      assert.equal(call("GET", key), after ?? before, `${before} + ${by}`);
      assert.equal(call("TTL", key), 1000);
      if (after !== undefined) assert.equal(call("OBJECT", "ENCODING", key), "int");
    }
  for (const key of ["new", "new key of 24 letters ..", "x".repeat(500), "x".repeat(70_000)])
    for (const by of ["0", "1", "-1", "10", "-2147483648", "2147483648", "9007199254740991", "-9007199254740991", "9223372036854775807"]) {
      call("DEL", key);
      call("INCRBY", key, by);
      assert.equal(call("GET", key), by);
      assert.equal(call("OBJECT", "ENCODING", key), "int");
      assert.equal(call("TTL", key), -1);
    }
});

test("OBJECT ENCODING of a string tells its content and how it came about, under a key of any length", () => {
  const { call } = aStore();
  // The middle one's record holds numbers, but no text of 45 bytes.
  for (const key of ["raw", "x".repeat(16 * 1024 - 20), "x".repeat(70_000)]) {
    const encoding = () => call("OBJECT", "ENCODING", key);
    for (const [value, expected] of [
      ["1", "int"],
      ["-9223372036854775808", "int"],
      ["9223372036854775808", "embstr"],
      ["1.5", "embstr"],
      ["t".repeat(44), "embstr"],
      ["t".repeat(45), "raw"],
      ["1", "int"],
    ]) {
      call("SET", key, value!);
      assert.equal(encoding(), expected, value);
    }
    call("APPEND", key, "2");
    assert.equal(encoding(), "raw");
    call("COPY", key, "copy", "REPLACE");
    assert.equal(call("OBJECT", "ENCODING", "copy"), "raw");
    assert.equal(call("INCR", key), 13);
    assert.equal(encoding(), "int");
    call("SETRANGE", key, "0", "2".repeat(45));
    assert.equal(encoding(), "raw");
    call("SETRANGE", key, "45", "2");
    call("SET", key, "3");
    assert.equal(encoding(), "int");
  }
});
