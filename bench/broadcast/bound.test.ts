import assert from "node:assert/strict";
import { test } from "node:test";
import { boundsOf } from "./bound.ts";
import { planOf, type Scenario } from "./scenario.ts";

/** 8 hosts at 80 Mbit/s: 100 MB take 10 seconds. */
const base: Scenario = {
  name: "test",
  title: "",
  n: 8,
  bytes: 100e6,
  rateBits: 80e6,
  delayMs: 1,
  judged: "last",
  bound: "",
  required: { ratioLast: 1.15, originCopies: 1.1 },
};

const rows: readonly (readonly [string, Partial<Scenario>, number])[] = [
  ["equal links: the time of one copy", {}, 10],
  ["a fast origin helps nobody beyond his own link", { originUp: 4 }, 10],
  ["a slow origin decides", { originUp: 0.5 }, 20],
  ["a slow host decides for the last", { slow: { host: 3, share: 0.25 } }, 40],
  ["slow uplinks decide once they are too slow for all copies", { uplinks: [0.25] }, (8 * 10) / (1 + 8 * 0.25)],
  ["a narrow core decides", { racks: { count: 2, oversubscription: 8 } }, 20],
  ["a core that carries more than one copy does not", { racks: { count: 2, oversubscription: 4 } }, 10],
  ["the last of staggered hosts begins later", { joinsOverMs: 7_000 }, 17],
  ["hosts that join later find what others fetched from a slow origin", { joinsOverMs: 7_000, originUp: 0.5 }, 20],
  ["the dead need no copy but may have sent", { uplinks: [0.25], deaths: { share: 0.25, atBoundShare: 0.5 } }, (6 * 10) / (1 + 8 * 0.25)],
  ["what is lost comes again", { lossShare: 0.2 }, 12.5],
];

for (const [title, change, seconds] of rows)
  test(title, () => {
    const scenario = { ...base, ...change };
    assert.equal(boundsOf(scenario, planOf(scenario)).lastSeconds, seconds);
  });

test("each host has a bound of its own", () => {
  const scenario = { ...base, slow: { host: 2, share: 0.5 }, racks: { count: 2, oversubscription: 8 } };
  assert.deepEqual(boundsOf(scenario, planOf(scenario)).ownSeconds, [10, 20, 10, 10, 20, 20, 20, 20]);
});

test("those that die are spread and never all", () => {
  assert.deepEqual(dyingOf(8), [5]);
  assert.deepEqual(dyingOf(16), [5, 13]);
});

function dyingOf(n: number): readonly number[] {
  const { hosts } = planOf({ ...base, n, deaths: { share: 0.1, atBoundShare: 0.5 } });
  return hosts.flatMap(({ dies }, i) => (dies ? [i + 1] : []));
}
