import assert from "node:assert/strict";
import { test } from "node:test";
import { perParentMax } from "./peer-fetch.ts";

test("the more parents there are, the less each is asked for, and never nothing", () => {
  const rows: readonly [readyParents: number, inFlightMax: number, each: number][] = [
    [0, 4, 2],
    [1, 4, 2],
    [2, 4, 2],
    [3, 4, 1],
    [8, 4, 1],
    [1, 1, 1],
    [2, 64, 2],
  ];
  for (const [readyParents, inFlightMax, each] of rows)
    assert.equal(perParentMax(readyParents, inFlightMax), each, `${readyParents} parents`);
});
