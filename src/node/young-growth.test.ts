import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../base/virtual-clock.ts";
import { YoungGrowth } from "./young-growth.ts";

const MIB = 1024 * 1024;

function aYoungGeneration(bytes = 2 * MIB) {
  const said: boolean[] = [];
  const state = { bytes, said, last: () => said.at(-1) };
  return { state, young: { bytes: () => state.bytes, mayGrow: (may: boolean) => void said.push(may) } };
}

const begin = (growth: YoungGrowth, count: number): void => {
  for (let place = 0; place < count; place++) growth.downloadBegan();
};

test("the young generation may grow while many downloads begin, up to its bound, and no longer than that", async () => {
  const clock = new VirtualClock();
  const { state, young } = aYoungGeneration();
  using growth = new YoungGrowth(young, clock);
  begin(growth, 40);
  assert.equal(state.last(), true);
  state.bytes = 8 * MIB;
  begin(growth, 4);
  assert.equal(state.last(), false);
  state.bytes = 4 * MIB;
  begin(growth, 4);
  assert.equal(state.last(), true);
  await clock.advance(1000);
  assert.equal(state.last(), false);
});

test("a few downloads leave it alone, however many follow each other slowly", async () => {
  const clock = new VirtualClock();
  const { state, young } = aYoungGeneration();
  using growth = new YoungGrowth(young, clock);
  for (let second = 0; second < 10; second++) {
    begin(growth, 20);
    await clock.advance(1000);
  }
  assert.deepEqual(state.said, []);
});
