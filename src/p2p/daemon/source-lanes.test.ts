import assert from "node:assert/strict";
import { test } from "node:test";
import { SourceLanes } from "./source-lanes.ts";
import type { SourceRun } from "./source-plan.ts";

const PIECES = [...Array(16).keys()];
const runOf = (firstIndex: number, count: number): SourceRun => ({ firstIndex, count, range: { start: firstIndex, length: count } });
const free = (lanes: SourceLanes, lane: number): number[] => PIECES.filter((piece) => lanes.isFree(lane, piece));

test("what another reads now is not free; what the first one reads is, since it goes on until somebody else is there", () => {
  const lanes = new SourceLanes();
  lanes.begin(0, runOf(0, 16));
  lanes.begin(1, runOf(4, 3));
  lanes.begin(2, runOf(7, 3));
  assert.deepEqual(free(lanes, 0), [0, 1, 2, 3, 10, 11, 12, 13, 14, 15]);
  assert.deepEqual(free(lanes, 1), [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15]);
});

test("what a lane has read when it ends stays read, and the rest is free", () => {
  const lanes = new SourceLanes();
  lanes.begin(1, runOf(4, 3));
  lanes.end(1, (piece) => piece < 6);
  assert.deepEqual(free(lanes, 0), PIECES);
  assert.deepEqual(
    PIECES.filter((piece) => lanes.wasRead(piece)),
    [4, 5],
  );
});

test("others begin behind what the first one reads now, or is about to", () => {
  const lanes = new SourceLanes();
  assert.equal(
    lanes.startOfOthers(() => false, 4),
    0,
  );
  lanes.begin(0, runOf(2, 14));
  assert.equal(
    lanes.startOfOthers((piece) => piece < 5, 4),
    9,
  );
  lanes.begin(0, runOf(2, 5));
  assert.equal(
    lanes.startOfOthers((piece) => piece < 5, 4),
    7,
  );
});
