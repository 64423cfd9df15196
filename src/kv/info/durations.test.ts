import assert from "node:assert/strict";
import { test } from "node:test";
import { Durations } from "./durations.ts";

test("percentiles are right to about 6 %", () => {
  const durations = new Durations();
  for (let us = 1; us <= 10_000; us++) durations.add(us);
  for (const percent of [50, 90, 99, 99.9, 100]) {
    const found = durations.percentile(percent);
    const exact = percent * 100;
    assert.ok(found >= exact * 0.999 && found <= exact * 1.07, `p${percent}: ${found}`);
  }
});

test("counts up to powers of two grow to the count of all", () => {
  const durations = new Durations();
  for (const us of [0.4, 1, 3, 3, 900, 1e12]) durations.add(us);
  const counts = durations.cumulative();
  assert.deepEqual(counts.slice(0, 3), [
    { us: 1, count: 2 },
    { us: 4, count: 4 },
    { us: 1024, count: 5 },
  ]);
  assert.equal(counts.at(-1)?.count, 6);
  assert.equal(new Durations().percentile(50), 0);
});
