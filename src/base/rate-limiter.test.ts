import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "./clock.ts";
import { AnaxError } from "./errors.ts";
import { RateLimiter, type RateLimiterOptions } from "./rate-limiter.ts";
import { VirtualClock } from "./virtual-clock.ts";

const MIB = 1024 * 1024;
const TURN = 64 * 1024;
const [URGENT, NORMAL, BACKGROUND] = [0, 1, 2] as const;

interface Bench extends Disposable {
  readonly clock: VirtualClock;
  readonly limiter: RateLimiter;
  /** Wants as much as it can get, in turns, until the end; `sendMs` passes between a grant and the next request. */
  hog(flow: string, place: number, options?: { readonly turnBytes?: number; readonly sendMs?: number }): { bytes: number };
}

function benchOf(options: Partial<RateLimiterOptions>): Bench {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const limiter = new RateLimiter({
    clock,
    bytesPerSecond: Infinity,
    flowBytesPerSecond: Infinity,
    burstMs: 100,
    weights: [16, 4, 1],
    waitingMax: 1000,
    ...options,
  });
  return {
    clock,
    limiter,
    hog(flow, place, { turnBytes = TURN, sendMs = 0 } = {}) {
      const got = { bytes: 0 };
      const run = async (): Promise<void> => {
        for (;;) {
          await limiter.take(flow, place, turnBytes, stop.signal);
          got.bytes += turnBytes;
          if (sendMs > 0) await clock.sleep(sendMs, stop.signal);
        }
      };
      run().catch(() => undefined); // it ends by the signal
      return got;
    },
    [Symbol.dispose]: () => stop.abort(new Error("the bench ends")),
  };
}

function within(actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(Math.abs(actual - expected) <= expected * tolerance, `${what}: ${actual} instead of ${expected}`);
}

test("while more is wanted than there is, exactly the limit passes, at any rate and size of turn", async () => {
  const cases: readonly [bytesPerSecond: number, turnBytes: number][] = [
    [256 * 1024, 16 * 1024],
    [10 * MIB, 16 * 1024],
    [10 * MIB, MIB],
    [100 * MIB, TURN],
    [1.25e9, MIB],
  ];
  for (const [bytesPerSecond, turnBytes] of cases) {
    using bench = benchOf({ bytesPerSecond });
    const flows = ["a", "b", "c"].map((flow) => bench.hog(flow, NORMAL, { turnBytes }));
    const sum = (): number => flows.reduce((total, { bytes }) => total + bytes, 0);
    await bench.clock.advance(2000); // the first request is granted at once, which weighs less the longer one looks
    const before = sum();
    await bench.clock.advance(10_000);
    within(sum() - before, bytesPerSecond * 10, 0.01, `${bytesPerSecond} in turns of ${turnBytes}`);
    assert.ok(sum() <= bytesPerSecond * 12 + turnBytes, "nothing was saved, so never more than the rate and one turn");
  }
});

test("a single sender that takes time to send still fills the link", async () => {
  using bench = benchOf({ bytesPerSecond: 10 * MIB });
  const got = bench.hog("a", NORMAL, { sendMs: 5 }); // 64 KiB in 5 ms is 12.5 MiB/s: faster than the limit, but not by much
  await bench.clock.advance(10_000);
  within(got.bytes, 100 * MIB, 0.01, "one sender");
});

test("after silence no more than the burst passes at once", async () => {
  using bench = benchOf({ bytesPerSecond: 10 * MIB });
  await bench.clock.advance(60_000);
  let bytes = 0;
  while (bench.limiter.tryTake("a", NORMAL, TURN)) bytes += TURN;
  assert.ok(bytes >= MIB && bytes <= MIB + TURN, `${bytes}`);
});

test("tasks of one class get the same, however many requests each has and however large they are", async () => {
  using bench = benchOf({ bytesPerSecond: 8 * MIB });
  const many = Array.from({ length: 8 }, () => bench.hog("many", NORMAL));
  const large = bench.hog("large", NORMAL, { turnBytes: 4 * TURN });
  const small = bench.hog("small", NORMAL, { turnBytes: TURN / 4 });
  await bench.clock.advance(30_000);
  const got = [many.reduce((sum, { bytes }) => sum + bytes, 0), large.bytes, small.bytes];
  for (const bytes of got) within(bytes, 80 * MIB, 0.02, "a third");
});

test("a task that comes later gets its share from then on and nothing for the time before", async () => {
  using bench = benchOf({ bytesPerSecond: 8 * MIB });
  const first = bench.hog("first", NORMAL);
  await bench.clock.advance(20_000);
  const before = first.bytes;
  const second = bench.hog("second", NORMAL);
  await bench.clock.advance(10_000);
  within(first.bytes - before, 40 * MIB, 0.02, "the first");
  within(second.bytes, 40 * MIB, 0.02, "the second");
});

test("classes share by weight while all want more, and the least important one is never starved", async () => {
  using bench = benchOf({ bytesPerSecond: 21 * MIB });
  const background = bench.hog("bulk", BACKGROUND);
  const urgent = [bench.hog("x", URGENT), bench.hog("y", URGENT)];
  const normal = bench.hog("z", NORMAL);
  await bench.clock.advance(20_000);
  within(urgent[0]!.bytes + urgent[1]!.bytes, 20 * 16 * MIB, 0.02, "urgent");
  within(urgent[0]!.bytes, urgent[1]!.bytes, 0.02, "both urgent ones");
  within(normal.bytes, 20 * 4 * MIB, 0.02, "normal");
  within(background.bytes, 20 * MIB, 0.03, "background");
});

test("what an important class does not want goes to the others", async () => {
  using bench = benchOf({ bytesPerSecond: 10 * MIB });
  const background = bench.hog("bulk", BACKGROUND);
  const urgent = bench.hog("read", URGENT, { turnBytes: TURN, sendMs: 62.5 }); // wants 1 MiB/s at most
  await bench.clock.advance(20_000);
  assert.ok(urgent.bytes > 17 * MIB, `the urgent one waits for one turn at most: ${urgent.bytes}`);
  within(urgent.bytes + background.bytes, 200 * MIB, 0.01, "together");
});

test("of those who wait, the important one is next even when it came last", async () => {
  using bench = benchOf({ bytesPerSecond: MIB });
  const never = new AbortController().signal;
  assert.ok(bench.limiter.tryTake("bulk", BACKGROUND, MIB));
  const order: string[] = [];
  const wait = (name: string, place: number) => bench.limiter.take(name, place, TURN, never).then(() => order.push(name));
  const waits = [wait("background", BACKGROUND), wait("normal", NORMAL), wait("urgent", URGENT)];
  await bench.clock.advance(2000);
  await Promise.all(waits);
  assert.deepEqual(order, ["urgent", "normal", "background"]);
});

test("a task keeps to its own limit, and what it may not use goes to others", async () => {
  using bench = benchOf({ bytesPerSecond: 10 * MIB, flowBytesPerSecond: 4 * MIB });
  const flows = ["a", "b"].map((flow) => bench.hog(flow, NORMAL));
  await bench.clock.advance(10_000);
  for (const { bytes } of flows) within(bytes, 40 * MIB, 0.01, "two tasks, each at its own limit");
  const before = flows.map(({ bytes }) => bytes);
  const third = bench.hog("c", NORMAL);
  await bench.clock.advance(10_000);
  within(third.bytes, 33.3 * MIB, 0.03, "the third");
  for (const [i, { bytes }] of flows.entries()) within(bytes - before[i]!, 33.3 * MIB, 0.03, "three share the total");
});

test("a class can be held down by itself without slowing the others", async () => {
  using bench = benchOf({ bytesPerSecond: 10 * MIB });
  bench.limiter.setClassRate(BACKGROUND, MIB);
  const background = bench.hog("bulk", BACKGROUND);
  await bench.clock.advance(10_000);
  within(background.bytes, 10 * MIB, 0.02, "alone, held down");
  const normal = bench.hog("a", NORMAL);
  await bench.clock.advance(10_000);
  within(normal.bytes, 90 * MIB, 0.02, "the other one has the rest, and what was saved");
  bench.limiter.setClassRate(BACKGROUND, Infinity);
  const before = background.bytes;
  await bench.clock.advance(10_000);
  within(background.bytes - before, 20 * MIB, 0.03, "free again: its share by weight");
});

test("a limit can be changed, set and lifted while others wait", async () => {
  using bench = benchOf({ bytesPerSecond: MIB });
  const got = bench.hog("a", NORMAL);
  await bench.clock.advance(10_000);
  within(got.bytes, 10 * MIB, 0.02, "slow");
  bench.limiter.setRate(50 * MIB);
  let before = got.bytes;
  await bench.clock.advance(10_000);
  within(got.bytes - before, 500 * MIB, 0.01, "fast");
  bench.limiter.setFlowRate(5 * MIB);
  before = got.bytes;
  await bench.clock.advance(10_000);
  within(got.bytes - before, 50 * MIB, 0.02, "its own limit");
  assert.ok(bench.limiter.limited);
});

test("without a limit nothing waits, no timer is set and nobody is remembered", async () => {
  using bench = benchOf({ bytesPerSecond: MIB });
  const waiting = bench.limiter.take("a", NORMAL, 10 * MIB, new AbortController().signal);
  const second = bench.limiter.take("b", NORMAL, MIB, new AbortController().signal);
  assert.deepEqual([bench.limiter.waiting, bench.clock.pending], [1, 1]);
  bench.limiter.setRate(Infinity);
  await Promise.all([waiting, second]);
  for (let i = 0; i < 1000; i++) assert.ok(bench.limiter.tryTake(`task-${i}`, NORMAL, MIB));
  assert.deepEqual([bench.limiter.waiting, bench.limiter.limited, bench.clock.pending], [0, false, 0]);
  assert.ok(bench.limiter.flows <= 2);
});

test("who leaves the line pays nothing, and a full line refuses", async () => {
  using bench = benchOf({ bytesPerSecond: MIB, waitingMax: 2 });
  const { limiter, clock } = bench;
  const never = new AbortController().signal;
  assert.ok(limiter.tryTake("a", NORMAL, MIB));
  const stop = new AbortController();
  const leaving = limiter.take("b", NORMAL, 100 * MIB, stop.signal);
  const staying = limiter.take("c", NORMAL, TURN, never);
  await assert.rejects(limiter.take("d", NORMAL, 1, never), (error) => error instanceof AnaxError && error.code === "limit.exceeded");
  stop.abort(new Error("enough"));
  await assert.rejects(leaving, /enough/);
  await assert.rejects(limiter.take("b", NORMAL, 1, stop.signal), /enough/);
  await clock.advance(1001);
  await staying;
  assert.deepEqual([limiter.waiting, clock.pending], [0, 0]);
});

test("a clock that jumps ahead, as after a suspension, lets no more than the burst pass at once", async () => {
  const virtual = new VirtualClock();
  let aheadMs = 0;
  const clock: Clock = {
    sleep: virtual.sleep,
    deadline: virtual.deadline,
    nowMs: () => virtual.nowMs() + aheadMs,
    wallMs: () => 0,
    timer: (ms, fire) => virtual.timer(ms, fire),
  };
  using bench = benchOf({ bytesPerSecond: 10 * MIB, clock });
  const flows = ["a", "b"].map((flow) => bench.hog(flow, NORMAL));
  const sum = (): number => flows.reduce((total, { bytes }) => total + bytes, 0);
  await virtual.advance(1000);
  const before = sum();
  aheadMs = 3_600_000;
  await virtual.advance(10); // the alarm that was set before
  within(sum() - before, 1.1 * MIB, 0.1, "the burst and 10 ms");
  await virtual.advance(10_000);
  within(sum() - before, 101 * MIB, 0.01, "and then the rate");
});

test("many leave at once, and who stays passes when it is his turn", async () => {
  using bench = benchOf({ bytesPerSecond: MIB, flowBytesPerSecond: MIB });
  const { limiter, clock } = bench;
  assert.ok(limiter.tryTake("first", NORMAL, MIB));
  const stop = new AbortController();
  const leaving = Array.from({ length: 500 }, (_, i) => limiter.take(`task-${i % 7}`, i % 3, MIB, stop.signal));
  const staying = limiter.take("last", BACKGROUND, TURN, new AbortController().signal);
  assert.deepEqual([limiter.waiting, clock.pending], [501, 1]);
  stop.abort(new Error("enough"));
  assert.ok((await Promise.allSettled(leaving)).every(({ status }) => status === "rejected"));
  assert.deepEqual([limiter.waiting, clock.pending], [1, 1]);
  await clock.advance(1001);
  await staying;
  assert.deepEqual([limiter.waiting, clock.pending], [0, 0]);
});

test("a debt of weeks is waited for without any timer that long, and a higher rate ends it", async () => {
  using bench = benchOf({ bytesPerSecond: 1000 });
  const { limiter, clock } = bench;
  assert.ok(limiter.tryTake("a", NORMAL, 1e10));
  let passed = false;
  const waiting = limiter.take("b", NORMAL, 1, new AbortController().signal).then(() => (passed = true));
  await clock.advance(60_000);
  assert.deepEqual([passed, clock.pending], [false, 1]);
  limiter.setRate(1e12);
  await clock.advance(20);
  await waiting;
  assert.equal(clock.pending, 0);
});

test("a rate of nothing is refused: there is no telling when it would let anything pass", () => {
  for (const bytesPerSecond of [0, -1, NaN]) {
    assert.throws(() => benchOf({ bytesPerSecond }), /above zero/);
    using bench = benchOf({});
    assert.throws(() => bench.limiter.setRate(bytesPerSecond), /above zero/);
  }
});

test("tasks that want nothing any more are forgotten", async () => {
  using bench = benchOf({ bytesPerSecond: 1e12, flowBytesPerSecond: 1e9 });
  for (let i = 0; i < 5000; i++) {
    assert.ok(bench.limiter.tryTake(`task-${i}`, NORMAL, 1));
    await bench.clock.advance(1);
  }
  assert.ok(bench.limiter.flows < 400, `${bench.limiter.flows}`);
});
