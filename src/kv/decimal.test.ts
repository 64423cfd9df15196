import assert from "node:assert/strict";
import { test } from "node:test";
import { decimalSum } from "./decimal.ts";

test("decimals are added as they are written", () => {
  const rows: readonly (readonly [string, string, string])[] = [
    ["0", "1.23", "1.23"],
    ["1.23", "0.77", "2"],
    ["2", "-0.1", "1.9"],
    ["10.50", "0.1", "10.6"],
    ["5.0e3", "200", "5200"],
    ["3", "1.1", "4.1"],
    ["17179869184", "17179869184", "34359738368"],
    ["1", "-1", "0"],
    ["0", "-0.000005", "-0.000005"],
    ["0", "1e-30", "0"],
    [".5", "5.", "5.5"],
    ["+1", "0x10", "17"],
    ["-0x10", "1e2", "84"],
    ["0", "1e-999999999999", "0"],
    ["1e20", "1", "100000000000000000001"],
    // Both ends of a tie: the even one is taken.
    ["0", "0.024390243902439025", "0.02439024390243902"],
    ["0.02439024390243902", "-0.024390243902439025", "0"],
    ["0", "0.024390243902439035", "0.02439024390243904"],
  ];
  for (const [a, b, sum] of rows) assert.equal(decimalSum(a, b), sum, `${a} + ${b}`);
});

test("a sum beyond the largest double is refused", () => {
  assert.throws(() => decimalSum("1.7e308", "1.7e308"), /NaN or Infinity/);
  assert.throws(() => decimalSum("1", "inf"), /NaN or Infinity/);
});
