import assert from "node:assert/strict";
import { test } from "node:test";
import { createRegistry } from "../../../base/metrics.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { parseTaskId } from "../../model/ids.ts";
import { RatesConfig } from "./config.ts";
import { startRates } from "./rates.ts";
import { rateClassOf } from "./types.ts";

const MIB = 1024 * 1024;
const TASK = parseTaskId("a".repeat(64));
const OTHER = parseTaskId("b".repeat(64));
const never = new AbortController().signal;

async function started(settings: Readonly<Record<string, unknown>>) {
  const clock = new VirtualClock();
  const registry = createRegistry({ runtime: false });
  const link = { receivedBytes: 0, sentBytes: 0 };
  const rates = startRates({
    config: RatesConfig.parse(settings),
    clock,
    registry,
    counters: async () => new Map([["eth0", { ...link }]]),
  });
  await clock.advance(0);
  const gauge = async (name: string, direction: string): Promise<number | undefined> => {
    const metric = await registry.getSingleMetric(name)?.get();
    return metric?.values.find(({ labels }) => labels["direction"] === direction)?.value;
  };
  return { clock, rates, link, gauge, [Symbol.asyncDispose]: () => rates[Symbol.asyncDispose]() };
}

test("settings are rates in bytes or bits, 0 is no limit, and what is too little to work with is refused", () => {
  const { uploadBytesPerSecond, downloadBytesPerSecond, sourceBytesPerSecond } = RatesConfig.parse({
    uploadBytesPerSecond: "100MiB/s",
    downloadBytesPerSecond: "800Mbit/s",
  });
  assert.deepEqual([uploadBytesPerSecond, downloadBytesPerSecond, sourceBytesPerSecond], [100 * MIB, 100e6, 0]);
  for (const wrong of ["1KiB/s", "-1", "many", "1e99TiB"]) assert.throws(() => RatesConfig.parse({ uploadBytesPerSecond: wrong }), wrong);
});

test("a download's priority says whether it can wait", () => {
  assert.deepEqual(
    ([0, 1, 2, 3, 4, 5, 6] as const).map(rateClassOf).join(" "),
    "normal background background background background background normal",
  );
});

test("without limits everything passes at once and is measured all the same, as a sum and by task", async () => {
  await using bench = await started({});
  const { clock, rates } = bench;
  assert.deepEqual([rates.uploadTurnBytes, rates.downloadTurnBytes, rates.sourceTurnBytes], [Infinity, Infinity, Infinity]);
  for (let second = 0; second < 10; second++) {
    assert.ok(rates.tryUpload(TASK, "normal", 3 * MIB) && rates.tryUpload(OTHER, "normal", MIB));
    assert.ok(rates.tryDownload(TASK, "normal", 2 * MIB));
    await rates.source(TASK, "normal", MIB, never);
    await clock.advance(1000);
  }
  const { upload, download, source } = rates.measured();
  assert.deepEqual(
    [upload, download, source].map((rate) => Math.round(rate / MIB)),
    [4, 3, 1],
  );
  assert.deepEqual(rates.measuredOf(TASK), { upload: 3 * MIB, download: 3 * MIB });
  assert.equal(await bench.gauge("anax_rates_measured_bytes_per_second", "upload"), 4 * MIB);
  await clock.advance(120_000);
  assert.equal(rates.measuredOf(TASK), undefined, "a quiet task is forgotten");
  assert.ok(rates.measured().upload < 1);
});

test("who leaves while a limit holds it back has moved nothing", async () => {
  await using bench = await started({ uploadBytesPerSecond: "1MiB/s" });
  const { clock, rates } = bench;
  assert.ok(rates.tryUpload(OTHER, "normal", MIB));
  const stop = new AbortController();
  const leaving = rates.upload(TASK, "normal", MIB, stop.signal);
  await clock.advance(0);
  stop.abort(new Error("enough"));
  await assert.rejects(leaving, /enough/);
  await assert.rejects(rates.upload(TASK, "normal", MIB, stop.signal), /enough/);
  await clock.advance(2000);
  assert.equal(rates.measuredOf(TASK), undefined);
  assert.ok(rates.tryUpload(OTHER, "normal", MIB));
});

test("reading a source is downloading, too: both limits hold", async () => {
  await using bench = await started({ sourceBytesPerSecond: "4MiB/s", downloadBytesPerSecond: "6MiB/s" });
  const { clock, rates } = bench;
  const got = { source: 0, peers: 0 };
  const stop = new AbortController();
  const pump = async (from: keyof typeof got, take: () => Promise<void>): Promise<void> => {
    for (; ; got[from] += 64 * 1024) await take();
  };
  const pumps = [
    pump("source", () => rates.source(TASK, "normal", 64 * 1024, stop.signal)),
    pump("peers", () => rates.download(OTHER, "normal", 64 * 1024, stop.signal)),
  ];
  await clock.advance(20_000);
  stop.abort(new Error("enough"));
  await Promise.allSettled(pumps);
  assert.ok(got.source > 58 * MIB && got.source <= 61 * MIB, `a half of what may be downloaded: ${got.source}`);
  assert.ok(got.source + got.peers > 118 * MIB && got.source + got.peers <= 121 * MIB, `${got.source + got.peers}`);
  assert.ok(rates.sourceTurnBytes <= 4 * MIB * 0.02);
  const capacity = rates.capacity();
  assert.deepEqual(capacity, { upload: 0, download: 6 * MIB }, "what schedulers are told");
});

test("a link takes what passed it in its best moment, also where most of the time it waits for others", async () => {
  for (const [linkBytesPerSecond, taken, bySecond] of [
    ["0", 20, 5],
    ["15MiB/s", 15, 15],
  ] as const) {
    await using bench = await started({ linkBytesPerSecond });
    const { clock, rates, link } = bench;
    for (let second = 0; second < 4; second++) {
      for (const mebibytes of [0, 1, 0, 4, 0]) {
        assert.ok(rates.tryDownload(TASK, "normal", mebibytes * MIB));
        link.receivedBytes += mebibytes * MIB;
        await clock.advance(200);
      }
    }
    assert.equal(Math.round(rates.capacity().download / MIB), taken);
    assert.equal(Math.round((await bench.gauge("anax_rates_link_bytes_per_second", "download"))! / MIB), bySecond, "for making room");
  }
});

test("background transfers make room for what others send over the same link, once anybody cares", async () => {
  for (const settings of [{ linkBytesPerSecond: "100MB/s" }, { linkBytesPerSecond: "100MB/s", adaptive: false }, { adaptive: true }]) {
    await using bench = await started(settings);
    const { clock, rates, link } = bench;
    const stop = new AbortController();
    const flood = async (): Promise<void> => {
      for (;;) {
        await rates.upload(TASK, "background", 256 * 1024, stop.signal);
        link.sentBytes += 256 * 1024;
        await clock.sleep(2.5, stop.signal); // the link carries 100 MB/s
      }
    };
    const flooding = flood();
    await clock.advance(20_000);
    const alone = rates.measured().upload;
    assert.ok(alone > 85e6, `alone: ${alone}`);
    for (let second = 0; second < 20; second++) {
      link.sentBytes += 50e6;
      await clock.advance(1000);
    }
    const beside = rates.measured().upload;
    const limit = await bench.gauge("anax_rates_background_bytes_per_second", "upload");
    if (settings.adaptive === false) assert.ok(beside > 85e6 && limit === 0, "nobody asked for it");
    else assert.ok(limit! > 0 && beside < 100e6, `${beside}`);
    if ("linkBytesPerSecond" in settings && settings.adaptive !== false)
      assert.ok(beside > 35e6 && beside < 45e6, `the rest less a tenth: ${beside}`);
    stop.abort(new Error("enough"));
    await flooding.catch(() => undefined);
  }
});
