import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "./errors.ts";
import { createRandom } from "./random.ts";
import { backoffMs, retry } from "./retry.ts";
import { VirtualClock } from "./virtual-clock.ts";

test("virtual alarms fire in the order of their time, and leave nothing behind", async () => {
  const clock = new VirtualClock();
  const fired: string[] = [];
  clock.timer(20, () => fired.push("b"));
  clock.timer(10, () => fired.push("a"));
  clock.timer(15, () => fired.push("never"))[Symbol.dispose]();
  await clock.advance(25);
  assert.deepEqual(fired, ["a", "b"]);
  assert.equal(clock.nowMs(), 25);
  assert.equal(clock.pending, 0);
});

test("a deadline ends by its time or by its parent, and says which", async () => {
  const clock = new VirtualClock();
  const parent = new AbortController();
  using byTime = clock.deadline(10, parent.signal);
  using byParent = clock.deadline(1000, parent.signal);
  await clock.advance(10);
  assert.ok(byTime.expired && byTime.signal.aborted);
  assert.ok(byTime.signal.reason instanceof AnaxError);
  parent.abort(new Error("stop"));
  assert.ok(byParent.signal.aborted && !byParent.expired);
  byParent[Symbol.dispose]();
  assert.equal(clock.pending, 0);
});

test("sleep rejects with the reason of its signal", async () => {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const slept = clock.sleep(1000, stop.signal);
  stop.abort(new Error("enough"));
  await assert.rejects(slept, /enough/);
  await assert.rejects(clock.sleep(1, stop.signal), /enough/);
  assert.equal(clock.pending, 0);
});

test("retry repeats only what its policy lets repeat, a bounded number of times", async () => {
  const clock = new VirtualClock();
  const options = { clock, random: createRandom(1), signal: new AbortController().signal, attemptsMax: 3, firstMs: 100, maxMs: 1000 };
  let calls = 0;
  const failing = retry(async () => {
    calls++;
    throw new AnaxError("source.unreachable");
  }, options);
  const outcome = assert.rejects(failing, /cannot be reached/);
  await clock.advance(10_000);
  await outcome;
  assert.equal(calls, 3);
  calls = 0;
  await assert.rejects(
    retry(async () => {
      calls++;
      throw new AnaxError("source.not-found");
    }, options),
    /does not have/,
  );
  assert.equal(calls, 1);
});

test("back-off doubles up to its cap", () => {
  const random = createRandom(7);
  const waits = [1, 2, 3, 10].map((attempt) => backoffMs(attempt, { attemptsMax: 9, firstMs: 100, maxMs: 500 }, random));
  const ceilings = [100, 200, 400, 500];
  for (const [i, wait] of waits.entries()) assert.ok(wait >= ceilings[i]! / 2 && wait <= ceilings[i]!); // same length
});

test("the same seed gives the same chance, and a shuffle keeps every item", () => {
  const [a, b] = [createRandom(42), createRandom(42)];
  assert.deepEqual(
    Array.from({ length: 50 }, () => a.next()),
    Array.from({ length: 50 }, () => b.next()),
  );
  assert.deepEqual(
    a.shuffle([1, 2, 3, 4, 5]).toSorted((x, y) => x - y),
    [1, 2, 3, 4, 5],
  );
});
