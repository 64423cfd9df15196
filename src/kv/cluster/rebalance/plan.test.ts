import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom, type Random } from "../../../base/random.ts";
import { SLOT_COUNT } from "../../keyspace/key-slot.ts";
import { rangesOf, slotsIn } from "../../slots/slot-text.ts";
import { planMoves, wholePlan, type Placement, type PlanLimits, type PlannedMove, type Share } from "./plan.ts";

const LIMITS: PlanLimits = { by: "slots", thresholdPercent: 5, movesMax: 2, moveSlotsMax: 512, moveBytesMax: 1e9 };
const SEEDS = 1500;

const namesOf = (count: number): string[] => Array.from({ length: count }, (_, at) => `node-${at}`);

/** Slots in stretches of random owners, some of them nobody's. */
function randomPlacement(random: Random, slots: number): Placement {
  const names = namesOf(1 + random.below(10));
  const owning = names.slice(0, 1 + random.below(names.length));
  const owners: string[] = [];
  const stretch = 1 + random.below(slots / 2);
  while (owners.length < slots) {
    const owner = random.below(40) === 0 ? "" : owning[random.below(owning.length)]!;
    for (let count = 1 + random.below(stretch); count > 0 && owners.length < slots; count--) owners.push(owner);
  }
  const weights = new Map(names.map((name) => [name, [1, 1, 1, 0, 2, 0.5][random.below(6)]!]));
  if (random.below(5) === 0) weights.delete(owning[0]!); // one that is not to be touched
  const heavy = random.below(3);
  const bytes = owners.map(() => (random.below(4) === 0 ? 0 : 1e5 * (1 / (1 - random.next())) ** (heavy / 2)));
  return { owners, bytes, weights, moving: [] };
}

const moved = (placement: Placement, { to, ranges }: PlannedMove): Placement => {
  const owners = [...placement.owners];
  for (const slot of slotsIn(ranges)) owners[slot] = to;
  return { ...placement, owners };
};

interface Run {
  readonly end: Placement;
  readonly shares: readonly Share[];
  readonly count: number;
  readonly slots: readonly number[];
}

/** As the runner goes on: some of what is under way ends, in any order, or fails; the plan is made anew each time. */
function run(begin: Placement, limits: PlanLimits, random: Random): Run {
  let placement = begin;
  let active = false;
  const slots: number[] = [];
  for (let round = 0, count = 0; ; round++) {
    assert.ok(round < 20_000, "it does not come to an end");
    const plan = planMoves(placement, limits, active);
    if (plan.moves.length === 0 && placement.moving.length === 0) return { end: placement, shares: plan.shares, count, slots };
    assert.ok(plan.active);
    const moving = [...placement.moving, ...plan.moves];
    assert.ok(moving.length <= limits.movesMax);
    assert.equal(new Set(moving.map(({ from, to }) => `${from} ${to}`)).size, moving.length);
    for (const { from, to, ranges } of plan.moves) {
      assert.ok(from !== to && placement.weights.get(to)! > 0);
      const own = slotsIn(ranges);
      assert.ok(own.length > 0 && own.length <= limits.moveSlotsMax);
      assert.ok(own.length === 1 || own.reduce((sum, slot) => sum + placement.bytes[slot]!, 0) <= limits.moveBytesMax);
      for (const slot of own) assert.equal(placement.owners[slot], from);
      assert.ok(own.every((slot) => placement.moving.every((other) => !slotsIn(other.ranges).includes(slot))));
    }
    const ended = random.shuffle(moving)[0]!;
    placement = { ...placement, moving: moving.filter((one) => one !== ended) };
    if (random.below(10) > 0) {
      placement = moved(placement, ended);
      slots.push(...slotsIn(ended.ranges));
      count++;
    }
    active = plan.active;
  }
}

const distances = (shares: readonly Share[]): number[] =>
  shares.filter(({ want }) => want > 0).map(({ have, want }) => Math.abs(have - want) / want);

test("by slots, every map ends with exact shares, no slot moves twice, and no more than has to", () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const random = createRandom(seed);
    const begin = randomPlacement(random, 300);
    const limits = { ...LIMITS, movesMax: 1 + random.below(4), moveSlotsMax: 1 + random.below(64) };
    const first = planMoves(begin, { ...limits, thresholdPercent: 0 }, false).shares;
    const mustMove = first.reduce((sum, { have, want }) => sum + Math.max(0, have - want), 0);
    const { end, shares, slots } = run(begin, limits, random);
    const begins = slots.length > 0;
    assert.equal(slots.length, begins ? mustMove : 0, `seed ${seed}`);
    assert.equal(new Set(slots).size, slots.length, `seed ${seed}`);
    if (begins) for (const { have, want } of shares) assert.equal(have, want, `seed ${seed}`);
    else
      assert.ok(
        distances(first).every((distance) => distance <= 0.05) ||
          mustMove === 0 ||
          [...begin.weights.values()].every((weight) => weight === 0),
        `seed ${seed}`,
      );
    assert.deepEqual(planMoves(end, limits, false).moves, [], `seed ${seed}`);
    for (const [slot, owner] of begin.owners.entries())
      if (!begin.weights.has(owner)) assert.equal(end.owners[slot], owner, `seed ${seed}: what is nobody's or another's stays`);
  }
});

test("by bytes, every map gets as near as its slots allow, moves little more than has to, and stays", () => {
  let [near, all] = [0, 0];
  for (let seed = 0; seed < SEEDS; seed++) {
    const random = createRandom(seed);
    const begin = randomPlacement(random, 300);
    const limits: PlanLimits = { ...LIMITS, by: "bytes", movesMax: 1 + random.below(4), moveBytesMax: 1e7 };
    const first = planMoves(begin, limits, false).shares;
    const mustMove = first.reduce((sum, { have, want }) => sum + Math.max(0, have - want), 0);
    const { end, shares, slots } = run(begin, limits, random);
    const load = slots.reduce((sum, slot) => sum + 4096 + begin.bytes[slot]!, 0);
    const heaviest = Math.max(...Array.from(begin.bytes)) + 4096;
    const drains = [...begin.weights.values()].includes(0);
    assert.ok(load <= mustMove * 1.0001 + (drains ? begin.weights.size * heaviest : 0), `seed ${seed}: moves ${load} of ${mustMove}`);
    if (!drains) assert.equal(new Set(slots).size, slots.length, `seed ${seed}`);
    if ([...begin.weights.values()].some((weight) => weight > 0))
      for (const { have, want } of shares) if (want === 0) assert.equal(have, 0, `seed ${seed}: all of it has to go`);
    assert.deepEqual(planMoves(end, limits, false).moves, [], `seed ${seed}: it does not begin again`);
    all++;
    if (distances(shares).every((distance) => distance <= 0.05)) near++;
    else if (!drains) {
      const [above, below] = [shares.filter(({ have, want }) => have > want), shares.filter(({ have, want }) => have < want)];
      const gap = Math.min(
        Math.max(0, ...above.map(({ have, want }) => have - want)),
        Math.max(0, ...below.map(({ have, want }) => want - have)),
      );
      assert.ok(gap <= heaviest, `seed ${seed}: ${gap} could still move`);
    }
  }
  assert.ok(near > 0.5 * all, `${near} of ${all} are within the threshold`);
});

test("little changes of what is in the slots move nothing once it is balanced", () => {
  for (let seed = 0; seed < 40; seed++) {
    const random = createRandom(seed);
    const names = namesOf(2 + random.below(5));
    const owners = Array.from({ length: SLOT_COUNT }, (_, slot) => names[slot % names.length]!);
    const bytes = owners.map(() => 1000 * (1 + random.next()));
    let placement: Placement = { owners, bytes, weights: new Map(names.map((name) => [name, 1])), moving: [] };
    for (let round = 0; round < 5; round++) {
      placement = { ...placement, bytes: Array.from(placement.bytes, (one) => one * (0.7 + 0.6 * random.next())) };
      assert.deepEqual(planMoves(placement, { ...LIMITS, by: "bytes" }, false).moves, [], `seed ${seed}`);
    }
  }
});

test("a node that is new gets its share in few ranges, and one that is to leave loses all", () => {
  const owners = Array.from({ length: SLOT_COUNT }, (_, slot) => `node-${Math.min(2, Math.floor(slot / 5462))}`);
  const bytes = new Float64Array(SLOT_COUNT);
  const joined: Placement = { owners, bytes, weights: new Map(namesOf(4).map((name) => [name, 1])), moving: [] };
  const plan = wholePlan(joined, LIMITS);
  assert.deepEqual(
    plan.moves.map(({ from, to, ranges }) => [from, to, slotsIn(ranges).length]),
    [
      ["node-0", "node-3", 1366],
      ["node-1", "node-3", 1366],
      ["node-2", "node-3", 1364],
    ],
  );
  const { end } = run(joined, LIMITS, createRandom(1));
  assert.ok(rangesOf(end.owners.flatMap((owner, slot) => (owner === "node-3" ? [slot] : []))).length <= 3);
  const leaving = wholePlan({ ...joined, owners: end.owners, weights: new Map([...joined.weights, ["node-3", 0]]) }, LIMITS);
  assert.deepEqual(
    leaving.after.map(({ have }) => have),
    [5462, 5461, 5461, 0],
  );
});

test("nothing begins to a node that takes nothing now, or after a failure; it goes on where it was", () => {
  const owners = Array.from({ length: 100 }, (_, slot) => (slot < 52 ? "a" : "b"));
  const placement: Placement = { owners, bytes: owners.map(() => 0), weights: new Map([["a", 1], ["b", 1]]), moving: [] }; // prettier-ignore
  assert.deepEqual(planMoves(placement, LIMITS, false).moves, []); // below the threshold
  for (const held of [{ closed: new Set(["b"]) }, { resting: new Set(["a b"]) }]) {
    const plan = planMoves({ ...placement, ...held }, LIMITS, true);
    assert.deepEqual([plan.active, plan.held, plan.moves], [true, true, []]);
  }
  const plan = planMoves({ ...placement, closed: new Set(["a"]) }, LIMITS, true);
  assert.deepEqual(plan.moves, [{ from: "a", to: "b", ranges: [{ start: 50, end: 51 }] }]);
  const after = planMoves(moved(placement, plan.moves[0]!), LIMITS, true);
  assert.deepEqual([after.active, after.held, after.moves], [false, false, []]);
});

test("of two nodes that are to have nothing only the one that was named gives its slots away", () => {
  const owners = Array.from({ length: SLOT_COUNT }, (_, slot) => (slot < 6000 ? "x" : slot < 8000 ? "y" : "z"));
  const weights = new Map([
    ["x", 0],
    ["y", 0],
    ["z", 1],
  ]);
  const placement: Placement = { owners, bytes: owners.map(() => 0), weights, moving: [] };
  const limits = { ...LIMITS, movesMax: 1, only: "y" };
  assert.deepEqual(
    planMoves(placement, limits, false).moves.map(({ from, to }) => [from, to]),
    [["y", "z"]],
  );
  assert.deepEqual(
    wholePlan(placement, limits).moves.map(({ from, ranges }) => [from, slotsIn(ranges).length]),
    [["y", 2000]],
  );
});
