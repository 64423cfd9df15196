import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate } from "./slots/cluster.ts";
import { MUTANTS } from "./slots/scenario.ts";

// `npm run test:slots-sim -- --seeds 100000` does the same at length.
const SEEDS = Number(process.env["ANAX_SIM_SLOT_SEEDS"] ?? 12_000);
const SEEDS_EACH = 250;
const SEEDS_TO_FIND = 6000;

for (let from = 0; from < SEEDS; from += SEEDS_EACH)
  test(`I1 to I9 hold in clusters in which everything goes wrong, seeds ${from} to ${from + SEEDS_EACH - 1}`, () => {
    let moved = 0;
    for (let seed = from; seed < from + SEEDS_EACH; seed++) {
      const result = simulate(seed);
      assert.deepEqual(result.violations, [], `seed ${seed}`);
      moved += result.moved;
    }
    assert.ok(moved > SEEDS_EACH, `${moved} moves`); // or nothing was tried
  });

test("a seed gives the same run each time", () => {
  for (let seed = 0; seed < 20; seed++) assert.deepEqual(simulate(seed), simulate(seed));
});

for (const mutant of MUTANTS)
  test(`the checker finds a fault that was put in: ${mutant}`, () => {
    for (let seed = 0; seed < SEEDS_TO_FIND; seed++) if (simulate(seed, mutant).violations.length > 0) return;
    assert.fail(`not found in ${SEEDS_TO_FIND} seeds`);
  });
