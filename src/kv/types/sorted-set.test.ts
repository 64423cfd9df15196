import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { createRandom } from "../../base/random.ts";
import { LAST } from "./scored-table.ts";
import { SortedSet, type SortedSetLimits } from "./sorted-set.ts";

const LIMITS: SortedSetLimits = { "zset-max-listpack-entries": 128, "zset-max-listpack-value": 64 };

interface Entry {
  readonly member: string;
  readonly score: number;
}

const inOrder = (model: ReadonlyMap<string, number>): Entry[] =>
  [...model].map(([member, score]) => ({ member, score })).toSorted((a, b) => a.score - b.score || (a.member < b.member ? -1 : 1));

/** Compares all that can be asked. */
function same(set: SortedSet, model: ReadonlyMap<string, number>): void {
  const entries = inOrder(model);
  assert.equal(set.size, entries.length);
  assert.deepEqual(set.slice(0, set.size), entries);
  for (const [rank, { member, score }] of entries.entries()) {
    assert.equal(set.scoreOf(member), score);
    assert.equal(set.rankOf(score, member), rank);
  }
}

test("a sorted set does what a sorted array does", () => {
  const step = fc.record({
    kind: fc.constantFrom("set", "set", "set", "delete", "pop"),
    from: fc.integer({ min: 0, max: 1500 }),
    count: fc.integer({ min: 1, max: 600 }),
    spread: fc.constantFrom(1, 10, 1e6),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.integer(), (steps, seed) => {
      const random = createRandom(seed);
      const set = new SortedSet();
      const model = new Map<string, number>();
      for (const { kind, from, count, spread } of steps)
        for (let i = from; i < from + count; i++) {
          const member = `m${i}`;
          if (kind === "set") {
            const score = random.below(spread) / 2;
            set.set(member, score, LIMITS);
            model.set(member, score);
          } else if (kind === "delete") assert.equal(set.delete(member), model.delete(member));
          else if (set.size > 0) {
            const popped = set.at(random.below(2) * (set.size - 1));
            assert.equal(model.get(popped.member), popped.score);
            set.delete(popped.member);
            model.delete(popped.member);
          }
        }
      same(set, model);
      same(set.copy(), model);
    }),
    { numRuns: 60 },
  );
});

test("a tree of many levels keeps its order while it grows and shrinks", () => {
  const random = createRandom(7);
  const set = new SortedSet();
  const model = new Map<string, number>();
  for (let i = 0; i < 40_000; i++) {
    const score = random.below(1000);
    set.set(`m${i}`, score, LIMITS);
    model.set(`m${i}`, score);
  }
  same(set, model);
  for (const member of random.shuffle([...model.keys()]).slice(0, 39_500)) {
    set.delete(member);
    model.delete(member);
  }
  same(set, model);
  assert.equal(set.rankOf(Infinity, ""), set.size);
  assert.equal(set.rankOf(500, LAST) - set.rankOf(500, ""), [...model.values()].filter((score) => score === 500).length);
});

test("a range is cut to what is there, wherever it begins and ends", () => {
  const set = new SortedSet();
  for (let i = 0; i < 1000; i++) set.set(String(i), i, LIMITS);
  const all = Array.from({ length: 1000 }, (_, i) => ({ member: String(i), score: i }));
  for (const [from, to] of [
    [0, 1000],
    [127, 129],
    [500, 500],
    [600, 400],
    [-5, 3],
    [990, 2000],
  ] as const)
    assert.deepEqual(set.slice(from, to), all.slice(Math.max(0, from), Math.max(0, to)));
});

test("a scan meets every member that is there all the time, whatever comes and goes meanwhile", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 1, max: 50 }), fc.integer(), (size, count, seed) => {
      const random = createRandom(seed);
      const set = new SortedSet();
      for (let i = 0; i < size; i++) set.set(`m${i}`, random.below(100), LIMITS);
      const kept = new Set(Array.from({ length: size }, (_, i) => `m${i}`).filter((_, i) => i % 4 === 0));
      const met = new Set<string>();
      let cursor = 0;
      do {
        cursor = set.scan(cursor, count, (member) => met.add(member));
        for (let i = 0; i < Math.min(20, size); i++) {
          const member = `m${random.below(size)}`;
          if (!kept.has(member)) set.delete(member);
          else set.set(member, random.below(100), LIMITS);
          if (random.below(4) === 0) set.set(`n${random.below(1000)}`, 0, LIMITS);
        }
      } while (cursor !== 0);
      for (const member of kept) assert.ok(met.has(member), member);
    }),
    { numRuns: 60 },
  );
});

test("a set is a listpack until it has more or longer members than allowed, and never again", () => {
  const set = new SortedSet();
  for (let i = 0; i < 128; i++) set.set(String(i), i, LIMITS);
  assert.equal(set.encoding, "listpack");
  set.set("128", 128, LIMITS);
  assert.equal(set.encoding, "skiplist");
  set.delete("128");
  assert.equal(set.encoding, "skiplist");
  assert.equal(set.copy().encoding, "skiplist");
  const long = new SortedSet();
  long.set("x".repeat(65), 1, LIMITS);
  assert.equal(long.encoding, "skiplist");
});

/** Every third one is too long to lie with the others. */
const memberOf = (i: number): string => `${"x".repeat(i % 3 === 0 ? 5000 : 3)}${i}`;

test("members that are too long for the table's memory are in order, too, whichever of them are gone", () => {
  const random = createRandom(11);
  const set = new SortedSet();
  const model = new Map<string, number>();
  for (const i of random.shuffle(Array.from({ length: 400 }, (_, n) => n))) {
    set.set(memberOf(i), i % 2, LIMITS);
    model.set(memberOf(i), i % 2);
  }
  same(set, model);
  for (const member of random.shuffle([...model.keys()]).slice(0, 300)) {
    set.delete(member);
    model.delete(member);
    assert.equal(set.rankOf(1, ""), [...model.values()].filter((score) => score === 0).length);
  }
  same(set, model);
  same(set.copy(), model);
});
