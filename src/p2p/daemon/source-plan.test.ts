import assert from "node:assert/strict";
import { test } from "node:test";
import { isWhole, nextRun } from "./source-plan.ts";

const LAYOUT = { contentLength: 45, pieceLength: 10, pieceCount: 5 };
const runOf = (held: readonly number[], from = 0) => nextRun(LAYOUT, (index) => held.includes(index), { from });

test("missing neighbours are one run, cut at what is held", () => {
  assert.deepEqual(runOf([]), { firstIndex: 0, count: 5, range: { start: 0, length: 45 } });
  assert.deepEqual(runOf([0, 1]), { firstIndex: 2, count: 3, range: { start: 20, length: 25 } });
  assert.deepEqual(runOf([2]), { firstIndex: 0, count: 2, range: { start: 0, length: 20 } });
  assert.deepEqual(runOf([2], 2), { firstIndex: 3, count: 2, range: { start: 30, length: 15 } });
  assert.deepEqual(runOf([0, 1, 2, 3]), { firstIndex: 4, count: 1, range: { start: 40, length: 5 } });
  assert.equal(runOf([0, 1, 2, 3, 4]), undefined);
  assert.equal(
    nextRun({ contentLength: 0, pieceLength: 10, pieceCount: 0 }, () => false),
    undefined,
  );
});

test("a run has as many whole pieces as it may have bytes, and never none", () => {
  const counts = [5, 10, 29, 30, 1000].map((bytesMax) => nextRun(LAYOUT, (index) => index === 0, { bytesMax })?.count);
  assert.deepEqual(counts, [1, 1, 2, 3, 4]);
});

test("only the run of everything needs no range", () => {
  assert.ok(isWhole(LAYOUT, runOf([])!));
  assert.ok(!isWhole(LAYOUT, runOf([0])!));
});
