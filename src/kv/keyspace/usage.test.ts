import assert from "node:assert/strict";
import { test } from "node:test";
import { frequencyOf, idleSecondsOf, lfuUse, lruUse } from "./usage.ts";

test("LRU knows for how many seconds a key was not used", () => {
  const now = { nowMs: 1_700_000_000_000 };
  const bits = lruUse(now)(-1);
  assert.equal(idleSecondsOf(bits, now.nowMs + 90_500), 90);
  // Over the end of the 24 bits.
  const late = { nowMs: (2 ** 24 - 5) * 1000 };
  assert.equal(idleSecondsOf(lruUse(late)(0), late.nowMs + 20_000), 20);
});

test("LFU counts the logarithm of the uses and forgets with time", () => {
  const now = { nowMs: 1_700_000_000_000 };
  const use = lfuUse(now, { logFactor: 10, decayMinutes: 1 });
  let bits = use(-1);
  assert.equal(frequencyOf(bits, now.nowMs, 1), 5);
  for (let i = 0; i < 100_000; i++) bits = use(bits);
  const often = frequencyOf(bits, now.nowMs, 1);
  assert.ok(often > 100 && often < 220, `${often} after 100,000 uses`);
  assert.equal(frequencyOf(bits, now.nowMs + 10 * 60_000, 1), often - 10);
  assert.equal(frequencyOf(bits, now.nowMs + 10 * 60_000, 0), often);
  assert.equal(frequencyOf(bits, now.nowMs + 10_000 * 60_000, 1), 0);
});
