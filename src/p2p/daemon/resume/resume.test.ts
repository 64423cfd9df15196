import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { aDownload, codeOf, sha256Of, startTestDaemon, startTestScheduler, type TestDaemon } from "../../../../test/kit/daemon.ts";
import { sha256OfGenerated } from "../../../../test/kit/generated-content.ts";
import { startOrigin, type Origin } from "../../../../test/kit/origin.ts";
import { waitFor } from "../../../../test/kit/process.ts";
import { temporaryDirectory } from "../../../../test/kit/temporary-directory.ts";
import type { DownloadRequest } from "../types.ts";

const MIB = 1024 * 1024;
const CONTENT = { bytes: 16 * MIB, seed: 5 };

/** Starts a download and stops the daemon in the middle of it; what the directory is left with. */
async function brokenOff(origin: Origin, dir: string, more: Partial<DownloadRequest> = {}): Promise<void> {
  origin.setFault("/file", { bytesPerSecond: 8 * MIB });
  const daemon = await startTestDaemon({ name: "a", dir });
  using download = daemon.daemon.downloads.start(aDownload(origin.url("/file"), more));
  await origin.until(() => origin.totals().bytesSent >= 6 * MIB);
  await daemon[Symbol.asyncDispose]();
  assert.equal(await codeOf(download.done), "daemon.stopping");
}

const finished = ({ store }: TestDaemon): Promise<void> =>
  waitFor(async () => store.list().length > 0 && store.list().every(({ state }) => state === "finished"));

const resumed = async ({ registry }: TestDaemon): Promise<Record<string, number>> => {
  const metric = await registry.getSingleMetric("anax_daemon_resumed_downloads_total")?.get();
  return Object.fromEntries(metric?.values.map(({ labels, value }) => [String(labels["outcome"]), value]) ?? []);
};

test("a daemon that starts again goes on with what it was downloading, and reads nothing twice that it has", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using directory = await temporaryDirectory();
  await brokenOff(origin, join(directory.path, "a"));
  origin.setFault("/file", undefined);
  await using again = await startTestDaemon({ name: "a", dir: join(directory.path, "a") });
  await finished(again);
  assert.ok(origin.totals().bytesSent < CONTENT.bytes + 4 * MIB, `${origin.totals().bytesSent} bytes`);
  await waitFor(async () => (await resumed(again))["done"] === 1);
});

test("who asks again joins the resumed download, which then ends with him", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using directory = await temporaryDirectory();
  await brokenOff(origin, join(directory.path, "a"));
  await using again = await startTestDaemon({ name: "a", dir: join(directory.path, "a") });
  const { downloads } = again.daemon;
  const task = downloads.taskIdOf(aDownload(origin.url("/file")));
  await waitFor(async () => downloads.storedOf(task) !== undefined);
  const gets = origin.totals().gets;
  downloads.start(aDownload(origin.url("/file")))[Symbol.dispose]();
  await waitFor(async () => (await resumed(again))["failed"] === 1);
  assert.equal(downloads.storedOf(task), undefined);
  assert.ok(origin.totals().gets <= gets + 1);
});

test("a download with credentials goes on from peers, and reads the source only once its client comes with them", async () => {
  const auth = { kind: "bearer", token: "hush" } as const;
  await using origin = await startOrigin({ content: { "/file": CONTENT }, auth });
  await using directory = await temporaryDirectory();
  const dir = join(directory.path, "a");
  const requestHeader = { authorization: "Bearer hush" };
  await brokenOff(origin, dir, { requestHeader });
  const gets = origin.totals().gets;
  {
    await using again = await startTestDaemon({ name: "a", dir });
    await waitFor(async () => (await resumed(again))["failed"] === 1); // there are no peers
    assert.equal(origin.totals().gets, gets);
    origin.setFault("/file", undefined);
    using download = again.daemon.downloads.start(aDownload(origin.url("/file"), { requestHeader }));
    assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
  }
  await using other = await temporaryDirectory();
  await using scheduler = await startTestScheduler();
  await using holder = await startTestDaemon({ name: "holder", schedulers: [scheduler.address] });
  using whole = holder.daemon.downloads.start(aDownload(origin.url("/file"), { requestHeader }));
  await whole.done;
  await brokenOff(origin, join(other.path, "b"), { requestHeader });
  const before = origin.totals().gets;
  await using again = await startTestDaemon({ name: "b", dir: join(other.path, "b"), schedulers: [scheduler.address] });
  await finished(again);
  assert.equal(origin.totals().gets, before);
});
