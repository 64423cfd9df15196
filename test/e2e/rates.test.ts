import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { aDownload, sha256Of, startTestDaemon, startTestScheduler, type TestDaemon } from "../kit/daemon.ts";
import { sha256OfGenerated } from "../kit/generated-content.ts";
import { startOrigin } from "../kit/origin.ts";

const MIB = 1024 * 1024;
const LIMIT = 8 * MIB;
/** What may pass besides rate × time: unused time that was saved up, and a turn of each connection that was on its way. */
const BURST = LIMIT / 10;
const ON_THE_WAY = 4 * 256 * 1024;

/** Downloads and gives the seconds that it took. */
async function secondsOf(daemon: TestDaemon, url: string, sha256: string, priority: 0 | 5 = 0): Promise<number> {
  const startedMs = realClock.nowMs();
  using download = daemon.daemon.downloads.start(aDownload(url, { priority }));
  await download.done;
  const seconds = (realClock.nowMs() - startedMs) / 1000;
  assert.equal(await sha256Of(download), sha256);
  return seconds;
}

function keptTo(bytes: number, seconds: number): void {
  const mayPass = LIMIT * seconds + BURST + ON_THE_WAY;
  assert.ok(bytes <= mayPass, `${bytes} bytes in ${seconds} s, ${mayPass} were allowed`);
}

test("a limit on uploads holds for all children and tasks together", async () => {
  const content = { bytes: 12 * MIB, seed: 31 };
  const other = { bytes: 6 * MIB, seed: 32 };
  await using origin = await startOrigin({ content: { "/a": content, "/b": other } });
  await using scheduler = await startTestScheduler();
  const schedulers = [scheduler.address];
  await using parent = await startTestDaemon({ name: "parent", schedulers, rates: { uploadBytesPerSecond: "8MiB/s" } });
  await secondsOf(parent, origin.url("/a"), sha256OfGenerated(content));
  await secondsOf(parent, origin.url("/b"), sha256OfGenerated(other));
  await using child = await startTestDaemon({ name: "child", schedulers });
  const seconds = await Promise.all([
    secondsOf(child, origin.url("/a"), sha256OfGenerated(content)),
    secondsOf(child, origin.url("/b"), sha256OfGenerated(other), 5),
  ]);
  assert.equal(origin.totals().bytesSent, content.bytes + other.bytes, "both came from the parent");
  keptTo(content.bytes + other.bytes, Math.max(...seconds));
});

test("a limit on downloads holds for what comes from peers, and one task's own limit as well", async () => {
  const content = { bytes: 12 * MIB, seed: 33 };
  await using origin = await startOrigin({ content: { "/file": content } });
  await using scheduler = await startTestScheduler();
  const schedulers = [scheduler.address];
  await using parent = await startTestDaemon({ name: "parent", schedulers });
  await secondsOf(parent, origin.url("/file"), sha256OfGenerated(content));
  await using whole = await startTestDaemon({ name: "whole", schedulers, rates: { downloadBytesPerSecond: "8MiB/s" } });
  await using single = await startTestDaemon({ name: "single", schedulers, rates: { taskDownloadBytesPerSecond: "8MiB/s" } });
  const seconds = await Promise.all([whole, single].map((daemon) => secondsOf(daemon, origin.url("/file"), sha256OfGenerated(content))));
  assert.equal(origin.totals().bytesSent, content.bytes, "both came from peers");
  for (const each of seconds) keptTo(content.bytes, each);
});

test("a limit on sources holds whether they say their length or not", async () => {
  const content = { bytes: 10 * MIB, seed: 34 };
  await using origin = await startOrigin({ content: { "/told": content, "/chunked": content }, faults: { "/chunked": { chunked: true } } });
  await using daemon = await startTestDaemon({ name: "reader", rates: { sourceBytesPerSecond: "8MiB/s" } });
  const seconds = await Promise.all(["/told", "/chunked"].map((path) => secondsOf(daemon, origin.url(path), sha256OfGenerated(content))));
  keptTo(2 * content.bytes, Math.max(...seconds));
});
