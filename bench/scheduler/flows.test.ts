import assert from "node:assert/strict";
import { test } from "node:test";
import { Flows } from "./flows.ts";

const BLOCKS = 4;
const STEP_MS = 10;
const LINK = { up: 0.01, down: 0.01 };

test("what a flow that ends leaves of its link is the others' in the same step", () => {
  const flows = new Flows(BLOCKS);
  for (let node = 0; node < 3; node++) flows.addNode({ ...LINK, up: 0.1 });
  const start = (from: number, piece: number) => flows.start({ from, to: 2, piece, upstream: undefined, nowMs: 0 });
  const [first, second] = [start(0, 0), start(1, 1)];
  first.done = 0.98;
  flows.advance(STEP_MS, STEP_MS);
  assert.equal(first.done, 1);
  assert.ok(Math.abs(second.done - 0.08) < 1e-9, `${second.done} of 0.08`);
});

test("a piece that still arrives at its sender is passed on by whole blocks", () => {
  const flows = new Flows(BLOCKS);
  for (let node = 0; node < 3; node++) flows.addNode(LINK);
  const upstream = flows.start({ from: 0, to: 1, piece: 0, upstream: undefined, nowMs: 0 });
  const relayed = flows.start({ from: 1, to: 2, piece: 0, upstream, nowMs: 0 });
  const done = Array.from({ length: 5 }, (_, step) => {
    flows.advance((step + 1) * STEP_MS, STEP_MS);
    return Number(relayed.done.toFixed(6));
  });
  assert.deepEqual(done, [0, 0, 0, 0.1, 0.2]);
});
