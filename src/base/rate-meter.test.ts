import assert from "node:assert/strict";
import { test } from "node:test";
import { RateMeter } from "./rate-meter.ts";

test("a steady rate is shown from the first reading on, and a change of it within a few windows", () => {
  const meter = new RateMeter({ windowMs: 2000, nowMs: 0 });
  let nowMs = 0;
  const run = (bytesPerTick: number, ticks: number): number => {
    for (let i = 0; i < ticks; i++) {
      meter.add(bytesPerTick);
      meter.perSecond((nowMs += 100));
    }
    return Math.round(meter.perSecond(nowMs));
  };
  assert.equal(meter.perSecond(0), 0);
  assert.equal(run(1000, 1), 10_000);
  assert.equal(run(1000, 50), 10_000);
  const half = run(0, 14); // 1.4 s of silence: half of it is forgotten
  assert.ok(half > 4000 && half < 6000, `${half}`);
  assert.ok(run(0, 200) < 10);
  assert.equal(meter.totalBytes, 51_000);
});

test("one that nobody read for long gives the mean of that time, and readings in quick succession change nothing", () => {
  const meter = new RateMeter({ windowMs: 1000, nowMs: 0 });
  meter.add(60_000);
  assert.equal(meter.perSecond(60_000), 1000);
  meter.add(1_000_000);
  assert.equal(meter.perSecond(60_010), 1000, "ten milliseconds are no span");
});
