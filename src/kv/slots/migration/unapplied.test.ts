import assert from "node:assert/strict";
import { test } from "node:test";
import { NOTHING_UNAPPLIED, oldestOf, takenFrom, withEntry, type UnappliedQueue } from "./unapplied.ts";

const filled = (from: number, count: number, queue: UnappliedQueue = NOTHING_UNAPPLIED): UnappliedQueue =>
  Array.from({ length: count }, (_, n) => from + n).reduce((next, n) => withEntry(next, { bytes: n, sentMs: n }), queue);

test("entries leave in the order in which they came, however adding and taking alternate", () => {
  let queue = NOTHING_UNAPPLIED;
  let [added, taken] = [0, 0];
  for (const [add, take] of [
    [1, 1],
    [5, 2],
    [4, 6],
    [1, 2],
    [3, 1],
    [0, 2],
  ] as const) {
    queue = filled(added, add, queue);
    added += add;
    const { left, bytes } = takenFrom(queue, take);
    assert.equal(
      bytes,
      Array.from({ length: take }, (_, n) => taken + n).reduce((sum, n) => sum + n, 0),
    );
    taken += take;
    queue = left;
    assert.equal(oldestOf(queue)?.sentMs, taken < added ? taken : undefined);
  }
});

test("a queue stays as it is when others are made of it", () => {
  const queue = filled(0, 3);
  const [one, other] = [filled(10, 2, queue), filled(20, 1, takenFrom(queue, 2).left)];
  assert.equal(takenFrom(one, 5).bytes, 0 + 1 + 2 + 10 + 11);
  assert.equal(takenFrom(other, 2).bytes, 2 + 20);
  assert.equal(takenFrom(queue, 3).bytes, 3);
});
