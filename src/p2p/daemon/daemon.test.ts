import assert from "node:assert/strict";
import { test } from "node:test";
import { aDownload, codeOf, sha256Of, startTestDaemon } from "../../../test/kit/daemon.ts";
import { generate, sha256OfGenerated } from "../../../test/kit/generated-content.ts";
import { startOrigin } from "../../../test/kit/origin.ts";

const MIB = 1024 * 1024;
const CONTENT = { bytes: 17 * MIB + 11, seed: 11 };
const DIGEST = `sha256:${sha256OfGenerated(CONTENT)}`;
const never = new AbortController().signal;

test("two who want the same share one read of the source, a third is served from disk", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using alone = await startTestDaemon({ name: "alone" });
  const { downloads } = alone.daemon;
  using first = downloads.start(aDownload(origin.url("/file")));
  using second = downloads.start(aDownload(origin.url("/file"), { digest: DIGEST }));
  assert.equal(await sha256Of(first), sha256OfGenerated(CONTENT));
  assert.equal(await sha256Of(second), sha256OfGenerated(CONTENT));
  first[Symbol.dispose]();
  second[Symbol.dispose]();
  using third = downloads.start(aDownload(origin.url("/file"), { digest: DIGEST }));
  assert.deepEqual((await third.done).bytesFrom, { "back-to-source": 0, "remote-peer": 0, "local-peer": CONTENT.bytes });
  assert.deepEqual(alone.store.find(third.taskId)?.inUse, ["download"]);
  third[Symbol.dispose]();
  assert.deepEqual(alone.store.find(third.taskId)?.inUse, []);
  assert.equal(origin.totals().gets, 1);
});

test("downloads wait for the memory that others have, and for no longer than they may", async () => {
  const paths = ["/a", "/b", "/c"];
  const fault = { bytesPerSecond: 8 * MIB };
  await using origin = await startOrigin({
    content: Object.fromEntries(paths.map((path) => [path, CONTENT])),
    faults: Object.fromEntries(paths.map((path) => [path, fault])),
  });
  const memory = { totalBytes: 1, config: { waitMs: "20s", waitingMax: 1 } };
  await using alone = await startTestDaemon({ name: "alone", memory });
  const all = paths.map((path) => alone.daemon.downloads.start(aDownload(origin.url(path))));
  assert.equal(await codeOf(all[2]!.done), "memory.exhausted");
  await all[0]!.done;
  assert.equal(origin.stats("/b").gets, 0, "the second waits for the first");
  for (const download of all.slice(0, 2)) assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
  for (const download of all) download[Symbol.dispose]();
});

test("schedulers that nobody listens on are gone without", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using alone = await startTestDaemon({ name: "alone", schedulers: ["127.0.0.1:1"] });
  using download = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
});

test("a body that breaks off is resumed behind the last whole piece", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { truncateAfterBytes: 9 * MIB, times: 1 } } });
  await using alone = await startTestDaemon({ name: "alone", config: { sourceBackoffMs: "10ms" } });
  using download = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
  const ranges = origin.requests.map(({ headers }) => headers["range"]);
  assert.deepEqual(ranges, [undefined, `bytes=${9 * MIB}-${CONTENT.bytes - 1}`]);
});

test("a source without ranges is read again from its beginning", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { truncateAfterBytes: 9 * MIB, times: 1 } } });
  await using alone = await startTestDaemon({ name: "alone", config: { sourceBackoffMs: "10ms" } });
  using download = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  await origin.until(() => origin.stats("/file").bytesSent >= 8 * MIB);
  origin.setFault("/file", { truncateAfterBytes: 9 * MIB, ignoreRange: true, times: 1 });
  await origin.until(() => origin.stats("/file").gets >= 2);
  origin.setFault("/file", { ignoreRange: true });
  assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
});

test("a source that always breaks off fails in the end, and what came stays for the next try", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { truncateAfterBytes: 100_000 } } });
  await using alone = await startTestDaemon({ name: "alone", config: { sourceBackoffMs: "10ms", sourceAttemptsMax: 3 } });
  using download = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await codeOf(download.done), "source.truncated");
  download[Symbol.dispose]();
  origin.setFault("/file", undefined);
  using again = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(again), sha256OfGenerated(CONTENT));
});

test("content of unknown length arrives whole", async () => {
  await using origin = await startOrigin({
    content: { "/file": CONTENT, "/empty": "" },
    faults: { "/file": { chunked: true }, "/empty": { chunked: true } },
  });
  await using alone = await startTestDaemon({ name: "alone" });
  using download = alone.daemon.downloads.start(aDownload(origin.url("/file"), { digest: DIGEST }));
  assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
  assert.deepEqual((await download.done).bytesFrom, { "back-to-source": CONTENT.bytes, "remote-peer": 0, "local-peer": 0 });
  using empty = alone.daemon.downloads.start(aDownload(origin.url("/empty")));
  assert.equal((await empty.done).meta.contentLength, 0);
});

test("a source that refuses is an error with its own code", async () => {
  await using origin = await startOrigin({ faults: { "/locked": { status: 401 }, "/forbidden": { status: 403 } } });
  await using alone = await startTestDaemon({ name: "alone" });
  for (const [path, code] of [
    ["/missing", "source.not-found"],
    ["/locked", "source.unauthorized"],
    ["/forbidden", "source.forbidden"],
  ] as const) {
    using download = alone.daemon.downloads.start(aDownload(origin.url(path)));
    assert.equal(await codeOf(download.done), code);
    assert.equal(await codeOf(download.stored), code);
  }
  using nobody = alone.daemon.downloads.start(aDownload("http://127.0.0.1:1/file"));
  assert.equal(await codeOf(nobody.done), "source.unreachable");
  using nonsense = alone.daemon.downloads.start(aDownload("no url"));
  assert.equal(await codeOf(nonsense.done), "input.invalid");
  using peersOnly = alone.daemon.downloads.start(aDownload(origin.url("/missing"), { disableBackToSource: true }));
  assert.equal(await codeOf(peersOnly.done), "download.no-source");
});

test("a wrong digest fails the download, keeps nothing, and hurts nobody else", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using alone = await startTestDaemon({ name: "alone" });
  using wrong = alone.daemon.downloads.start(aDownload(origin.url("/file"), { digest: `sha256:${"0".repeat(64)}` }));
  assert.equal(await codeOf(wrong.done), "task.digest-mismatch");
  assert.equal(alone.store.find(wrong.taskId)?.finished.count ?? 0, 0);
  wrong[Symbol.dispose]();
  using right = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(right), sha256OfGenerated(CONTENT));
  using late = alone.daemon.downloads.start(aDownload(origin.url("/file"), { digest: `sha512:${"0".repeat(128)}` }));
  assert.equal(await codeOf(late.done), "task.digest-mismatch");
  assert.equal(await codeOf(right.done), "none");
});

test("a download that nobody holds any more stops; what came is kept", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { stallAfterBytes: 9 * MIB, times: 1 } } });
  await using alone = await startTestDaemon({ name: "alone" });
  const download = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  let pieces = 0;
  for await (const _piece of download.pieces(never)) if (++pieces === 18) break;
  download[Symbol.dispose]();
  assert.equal(await codeOf(download.done), "download.cancelled");
  using again = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(again), sha256OfGenerated(CONTENT));
  assert.equal((await again.done).bytesFrom["local-peer"], 9 * MIB);
});

test("small content that comes slowly is a task before all of it is here", async () => {
  const small = { bytes: 100_000, seed: 5 };
  await using origin = await startOrigin({ content: { "/small": small }, faults: { "/small": { bytesPerSecond: 20_000 } } });
  await using alone = await startTestDaemon({ name: "alone" });
  using download = alone.daemon.downloads.start(aDownload(origin.url("/small")));
  const stored = await download.stored;
  assert.equal(stored.finished.full, false);
  assert.equal(await sha256Of(download), sha256OfGenerated(small));
  assert.equal(origin.stats("/small").gets, 1);
});

test("each holder has its own deadline", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { stallAfterBytes: 5 * MIB } } });
  await using alone = await startTestDaemon({ name: "alone" });
  using patient = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  using hasty = alone.daemon.downloads.start(aDownload(origin.url("/file"), { timeoutMs: 50 }));
  assert.equal(await codeOf(hasty.done), "download.deadline");
  assert.ok(alone.daemon.downloads.storedOf(patient.taskId) !== undefined, "the other goes on");
  const waiting = codeOf(patient.done);
  patient[Symbol.dispose]();
  assert.equal(await waiting, "download.cancelled");
});

test("content that changed at the source replaces the part of it that is here", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { truncateAfterBytes: 9 * MIB } } });
  await using alone = await startTestDaemon({ name: "alone", config: { sourceBackoffMs: "10ms", sourceAttemptsMax: 1 } });
  using download = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await codeOf(download.done), "source.truncated");
  download[Symbol.dispose]();
  const changed = { bytes: CONTENT.bytes + 1000, seed: 12 };
  origin.put("/file", changed);
  origin.setFault("/file", undefined);
  using again = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(again), sha256OfGenerated(changed));
});

test("a reader streams while the download goes on", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using alone = await startTestDaemon({ name: "alone" });
  using download = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  const chunks: Buffer[] = [];
  for await (const chunk of (await download.stored).stream({ start: 3 * MIB, length: 6 * MIB }, never)) chunks.push(Buffer.from(chunk));
  assert.ok(Buffer.concat(chunks).equals(generate(CONTENT).subarray(3 * MIB, 9 * MIB)));
  await download.done;
});

test("a full store fails the download with its reason, and takes the next one once there is room", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT, "/small": "x" } });
  await using alone = await startTestDaemon({ name: "alone", pieces: { quotaBytes: "8MiB" } });
  using download = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await codeOf(download.done), "disk.full");
  using small = alone.daemon.downloads.start(aDownload(origin.url("/small")));
  assert.equal(await codeOf(small.done), "none");
});
