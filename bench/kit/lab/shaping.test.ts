import assert from "node:assert/strict";
import { test } from "node:test";
import { bucketOf, segmentBytesMax, tbfArguments } from "./shaping.ts";

test("a bucket lets 4 ms of its rate go at once and queues 50 ms", () => {
  assert.deepEqual(bucketOf(200e6), { rateBits: 200e6, burstBytes: 100_000, limitBytes: 1_350_000 });
});

test("a slow link still takes a few packets at once", () => {
  assert.deepEqual(bucketOf(1e6), { rateBits: 1e6, burstBytes: 8_000, limitBytes: 60_000 });
});

test("a bucket is what tc understands", () => {
  assert.deepEqual(tbfArguments(bucketOf(50e6)), ["tbf", "rate", "50000000bit", "burst", "25000", "limit", "337500"]);
});

test("segments follow the slowest link, within bounds", () => {
  for (const [ratesBits, bytes] of [
    [[100e6, 50e6], 12_500],
    [[1e9], 32_000],
    [[100e6, 1e6], 4_000],
  ] as const)
    assert.equal(segmentBytesMax(ratesBits), bytes);
});
