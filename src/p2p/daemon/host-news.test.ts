import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "../../wire/grpc/gen/common/v2/common.ts";
import { HostNews } from "./host-news.ts";

const hostOf = (maxTxBandwidth: number, maxRxBandwidth: number): Host => Host.fromPartial({ network: { maxTxBandwidth, maxRxBandwidth } });

test("the facts of a host are told every tenth time, and when its link turns out to be another than was told", () => {
  let now = hostOf(0, 0);
  const news = new HostNews(() => now);
  const told = (beats: number): number[] => Array.from({ length: beats }, (_, n) => n + 1).filter(() => news.next() !== undefined);
  assert.deepEqual(told(20), [10, 20]);
  now = hostOf(0, 1000);
  assert.deepEqual(told(10), [1, 10]);
  now = hostOf(0, 1050);
  assert.deepEqual(told(9), [], "about the same");
  now = hostOf(0, 1200);
  assert.deepEqual(told(1), [1]);
  now = hostOf(500, 1200);
  assert.deepEqual(told(3), [1]);
  now = hostOf(400, 1200);
  assert.deepEqual(told(3), [1]);
});

test("that the disk fills up, or is free again, is told at once", () => {
  let disk = { usedPercent: 50, inodesUsedPercent: 1 };
  const news = new HostNews(() => Host.fromPartial({ disk }));
  for (const [usedPercent, inodesUsedPercent, isTold] of [
    [50.5, 1, false],
    [96, 1, true],
    [96, 2.5, true],
    [96, 3, false],
    [60, 3, true],
  ] as const) {
    disk = { usedPercent, inodesUsedPercent };
    assert.equal(news.next() !== undefined, isTold, `${usedPercent} ${inodesUsedPercent}`);
  }
});

test("what is told is what is so at the time", () => {
  let now = hostOf(1, 1);
  const news = new HostNews(() => now);
  now = hostOf(7, 9);
  assert.equal(news.next(), now);
});
