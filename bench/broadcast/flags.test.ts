import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlags, parseRateBits } from "./flags.ts";

test("rates are read with their unit", () => {
  for (const [text, bits] of [
    ["50mbit", 50e6],
    ["1.5gbit", 1.5e9],
    ["512kbit", 512e3],
    ["50", undefined],
    ["50mb", undefined],
  ] as const)
    assert.equal(parseRateBits(text), bits);
});

test("sizes, lists and numbers are read", () => {
  const flags = parseFlags(["--size", "64MiB", "--drivers", "anax,chain", "--runs", "3", "--rate", "20mbit", "--warm", "0"]);
  assert.deepEqual(
    [flags.bytes, flags.drivers, flags.runs, flags.rateBits, flags.warmBytes],
    [64 * 1024 ** 2, ["anax", "chain"], 3, 20e6, 0],
  );
});

for (const args of [["--n", "0"], ["--n", "65"], ["--runs", "x"], ["--size", "big"], ["--rate", "0mbit"], ["--warm", "hot"], ["--unknown"]])
  test(`${args.join(" ")} is refused`, () => {
    assert.throws(() => parseFlags(args));
  });
