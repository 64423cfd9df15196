import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import type { Download } from "../../src/p2p/daemon/types.ts";
import { aDownload, startTestDaemon, startTestScheduler, type TestDaemon } from "../kit/daemon.ts";
import { sha256OfGenerated } from "../kit/generated-content.ts";
import { startOrigin } from "../kit/origin.ts";

const MIB = 1024 * 1024;

/** Waits for a download and gives the digest of the file on disk. */
async function sha256Of(download: Download): Promise<string> {
  await download.done;
  const stored = await download.stored;
  return createHash("sha256")
    .update(await readFile(stored.path))
    .digest("hex");
}

test("without a scheduler a daemon reads the source, once for all who ask", async () => {
  const content = { bytes: 9 * MIB + 17, seed: 1 };
  await using origin = await startOrigin({ content: { "/file": content } });
  await using alone = await startTestDaemon({ name: "alone" });
  using first = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  using second = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(first), sha256OfGenerated(content));
  assert.equal(await sha256Of(second), sha256OfGenerated(content));
  assert.equal(origin.stats("/file").gets, 1);
  assert.equal(origin.stats("/file").bytesSent, content.bytes);
});

test("two daemons and a seed read the origin once", async () => {
  const content = { bytes: 33 * MIB + 5, seed: 2 };
  await using origin = await startOrigin({ content: { "/file": content } });
  await using scheduler = await startTestScheduler();
  const schedulers = [scheduler.address];
  await using seed = await startTestDaemon({ name: "seed", seed: true, schedulers });
  await using a = await startTestDaemon({ name: "a", schedulers });
  await using b = await startTestDaemon({ name: "b", schedulers });
  const get = (on: TestDaemon) => on.daemon.downloads.start(aDownload(origin.url("/file")));
  using one = get(a);
  using two = get(b);
  assert.equal(await sha256Of(one), sha256OfGenerated(content));
  assert.equal(await sha256Of(two), sha256OfGenerated(content));
  assert.equal(origin.stats("/file").bytesSent, content.bytes);
  assert.ok(seed.store.find(one.taskId) !== undefined);
});
