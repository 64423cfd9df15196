import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../base/virtual-clock.ts";
import { HeapGrowth } from "./heap-growth.ts";

const MIB = 1024 * 1024;

function aHeap(bytes = 2 * MIB) {
  const said: boolean[] = [];
  const saidOfOld: boolean[] = [];
  const state = { bytes, said, saidOfOld, last: () => said.at(-1) };
  const heap = {
    youngBytes: () => state.bytes,
    youngMayGrow: (may: boolean) => void said.push(may),
    oldMayGrow: (may: boolean) => void saidOfOld.push(may),
  };
  return { state, heap };
}

const begin = (growth: HeapGrowth, count: number): void => {
  for (let place = 0; place < count; place++) growth.downloadBegan();
};

test("both generations may grow while many downloads begin, the young one up to its bound, and no longer than that", async () => {
  const clock = new VirtualClock();
  const { state, heap } = aHeap();
  using growth = new HeapGrowth(heap, clock);
  begin(growth, 40);
  assert.equal(state.last(), true);
  state.bytes = 32 * MIB;
  begin(growth, 4);
  assert.equal(state.last(), false);
  state.bytes = 16 * MIB;
  begin(growth, 4);
  assert.equal(state.last(), true);
  assert.deepEqual(state.saidOfOld, [true]);
  await clock.advance(1000);
  assert.equal(state.last(), false);
  assert.deepEqual(state.saidOfOld, [true, false]);
});

test("a few downloads leave it alone, however many follow each other slowly", async () => {
  const clock = new VirtualClock();
  const { state, heap } = aHeap();
  using growth = new HeapGrowth(heap, clock);
  for (let second = 0; second < 10; second++) {
    begin(growth, 20);
    await clock.advance(1000);
  }
  assert.deepEqual([...state.said, ...state.saidOfOld], []);
});
