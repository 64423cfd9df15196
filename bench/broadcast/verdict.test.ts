import assert from "node:assert/strict";
import { test } from "node:test";
import type { FailedRow, Row } from "./result.ts";
import { missesOf } from "./verdict.ts";

const aRow = (change: Partial<Row>): Row => ({
  scenario: "a",
  driver: "anax",
  n: 8,
  finished: 8,
  bytes: 1,
  runs: 1,
  secondsFirst: 10,
  secondsMedian: 10,
  secondsLast: 11,
  boundSeconds: 10,
  ratioLast: 1.1,
  ratioLastWorst: 1.1,
  originCopies: 1.05,
  wireCopies: 1.05,
  cpuSecondsPerGiB: 5,
  delayCpuSecondsPerGiB: 1,
  otherCpuSeconds: 0,
  busyShare: 0.5,
  crowdedShare: 0,
  peakResidentMiB: 100,
  required: { ratioLast: 1.15, originCopies: 1.1 },
  ...change,
});
const failed = (driver: string): FailedRow => ({
  scenario: "a",
  driver,
  n: 8,
  failed: "no",
  required: { ratioLast: 1.15, originCopies: 1.1 },
});

test("a row within what is required and ahead of both rivals misses nothing", () => {
  const row = aRow({});
  assert.deepEqual(missesOf(row, [row, aRow({ driver: "aria2", ratioLast: 1.11 }), failed("libtorrent")]), []);
});

test("each miss is named", () => {
  const row = aRow({ ratioLast: 1.16, originCopies: 1.11 });
  const rows = [row, aRow({ driver: "aria2", ratioLast: 1.16 }), aRow({ driver: "libtorrent", ratioLast: 1 })];
  assert.deepEqual(missesOf(row, rows), [
    "last host above 1.15",
    "origin copies above 1.1",
    "not ahead of aria2",
    "not ahead of libtorrent",
  ]);
});

test("the chain is no rival, and rows of other scenarios are not compared", () => {
  const row = aRow({});
  assert.deepEqual(
    missesOf(row, [row, aRow({ driver: "chain", ratioLast: 1 }), aRow({ scenario: "b", driver: "aria2", ratioLast: 1 })]),
    [],
  );
});

test("to fail is a miss for us alone", () => {
  assert.deepEqual(missesOf(failed("anax"), []), ["failed"]);
  assert.deepEqual(missesOf(failed("aria2"), []), []);
});
