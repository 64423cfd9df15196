import assert from "node:assert/strict";
import { test } from "node:test";
import { SourceWidth } from "./source-width.ts";

const MIB = 1024 * 1024;

/** Reads at what `rateOf` says of so many connections, in MiB a second, and looks every 100 ms; the counts in their order. */
function countsOver(ms: number, rateOf: (count: number) => number, { max = 8, link = 0, enough = Infinity, known = 0 } = {}): number[] {
  const width = new SourceWidth({ max, beginsMs: 0, enough: enough * MIB, known: known * MIB });
  const counts = [width.count];
  let bytes = 0;
  for (let nowMs = 100; nowMs <= ms; nowMs += 100) {
    bytes += (rateOf(width.count) * MIB) / 10;
    width.look(nowMs, bytes, link * MIB);
    if (width.count !== counts.at(-1)) counts.push(width.count);
  }
  return counts;
}

test("where each connection brings as much as the first, there are as many as there may be", () => {
  assert.deepEqual(
    countsOver(4000, (count) => 4 * count),
    [1, 3, 8],
  );
  assert.deepEqual(
    countsOver(4000, (count) => 4 * count, { max: 2 }),
    [1, 2],
  );
  assert.deepEqual(
    countsOver(4000, (count) => 4 * count, { max: 1 }),
    [1],
  );
});

test("where one brings all that can be had, others are given up, and tried again after a while, later each time", () => {
  const counts = [5000, 30_000, 100_000].map((ms) => countsOver(ms, () => 10).length);
  assert.deepEqual(counts, [3, 5, 7]);
});

test("what three bring and eight do not is left at three", () => {
  assert.deepEqual(
    countsOver(5000, (count) => Math.min(12, 4 * count)),
    [1, 3, 8, 3],
  );
});

test("a link that seems to be full is tried once, since it may have been seen to take no more than one connection brings, and then left alone", () => {
  assert.deepEqual(
    countsOver(5000, (count) => 4 * count, { link: 4 }),
    [1, 3],
  );
  assert.deepEqual(
    countsOver(60_000, () => 4, { link: 4 }),
    [1, 3, 1],
  );
  assert.deepEqual(
    countsOver(5000, (count) => 4 * count, { link: 14 }),
    [1, 3],
  );
});

test("where one connection brings enough, no more are tried", () => {
  assert.deepEqual(
    countsOver(60_000, (count) => 4 * count, { enough: 3 }),
    [1],
  );
  assert.deepEqual(
    countsOver(4000, (count) => 4 * count, { enough: 5 }),
    [1, 3],
  );
});

test("where one connection fills a link that was known before, no more are tried; one that brings far more than was known may", () => {
  for (const [known, most] of [
    [3, 3],
    [4.5, 1],
    [6, 3],
  ] as const)
    assert.equal(Math.max(...countsOver(60_000, () => 4, { known })), most, `${known}`);
});

test("a slow source is looked at for longer, and one that sends nothing is asked no more often", () => {
  assert.deepEqual(
    countsOver(4000, (count) => 0.25 * count),
    [1],
  );
  assert.deepEqual(
    countsOver(12_000, (count) => 0.25 * count),
    [1, 3, 8],
  );
  assert.deepEqual(
    countsOver(60_000, () => 0),
    [1],
  );
});

test("a request is for half a second of one connection, and neither tiny nor huge", () => {
  for (const [rate, megabytes] of [
    [1, 2],
    [20, 10],
    [1000, 32],
  ] as const) {
    const width = new SourceWidth({ max: 8, beginsMs: 0 });
    for (let nowMs = 0; width.count === 1; nowMs += 100) width.look(nowMs, (nowMs * rate * MIB) / 1000, 0);
    assert.equal(width.requestBytes, megabytes * MIB);
  }
});

test("a look that comes late says nothing: what came while this machine was busy came over whatever there was", () => {
  const width = new SourceWidth({ max: 8, beginsMs: 0 });
  let bytes = 0;
  for (let nowMs = 0; nowMs < 20_000; nowMs += 200) width.look(nowMs, (bytes += MIB), 0);
  assert.equal(width.count, 1);
  for (let nowMs = 20_000; nowMs < 21_000; nowMs += 100) width.look(nowMs, (bytes += MIB), 0);
  assert.equal(width.count, 3);
});

test("when more cannot be had there is one, for a while", () => {
  const width = new SourceWidth({ max: 4, beginsMs: 0 });
  for (let nowMs = 0; nowMs < 1000; nowMs += 100) width.look(nowMs, nowMs * 4096, 0);
  assert.equal(width.count, 3);
  width.narrow(1000);
  assert.equal(width.count, 1);
  for (let nowMs = 1000; nowMs < 10_000; nowMs += 100) width.look(nowMs, nowMs * 4096, 0);
  assert.equal(width.count, 1);
});
