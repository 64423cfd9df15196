import assert from "node:assert/strict";
import { chmod, open } from "node:fs/promises";
import { test } from "node:test";
import { aDownload, attached, codeOf, sha256Of, startTestDaemon, startTestScheduler, type TestDaemon } from "../kit/daemon.ts";
import { sha256OfGenerated } from "../kit/generated-content.ts";
import { startOrigin } from "../kit/origin.ts";

const MIB = 1024 * 1024;

const from = (daemon: TestDaemon, url: string, more: Parameters<typeof aDownload>[1] = {}) =>
  daemon.daemon.downloads.start(aDownload(url, more));

test("a seed and three daemons that start together read the origin once", async () => {
  const content = { bytes: 61 * MIB + 5, seed: 2 };
  await using origin = await startOrigin({ content: { "/file": content } });
  await using scheduler = await startTestScheduler();
  const schedulers = [scheduler.address];
  await using _seed = await startTestDaemon({ name: "seed", seed: true, schedulers });
  await using a = await startTestDaemon({ name: "a", schedulers });
  await using b = await startTestDaemon({ name: "b", schedulers });
  await using c = await startTestDaemon({ name: "c", schedulers });
  const downloads = [a, b, c].map((daemon) => from(daemon, origin.url("/file")));
  for (const download of downloads) {
    assert.equal(await sha256Of(download), sha256OfGenerated(content));
    const { bytesFrom } = await download.done;
    assert.deepEqual(bytesFrom, { "back-to-source": 0, "remote-peer": content.bytes, "local-peer": 0 });
    download[Symbol.dispose]();
  }
  assert.equal(origin.totals().bytesSent, content.bytes);
  assert.equal(origin.totals().gets, 1);
});

test("without a seed one daemon reads the origin and gives to the others", async () => {
  const content = { bytes: 29 * MIB, seed: 3 };
  await using origin = await startOrigin({ content: { "/file": content } });
  await using scheduler = await startTestScheduler();
  const schedulers = [scheduler.address];
  await using a = await startTestDaemon({ name: "a", schedulers });
  await using b = await startTestDaemon({ name: "b", schedulers });
  await using c = await startTestDaemon({ name: "c", schedulers });
  const downloads = [a, b, c].map((daemon) => from(daemon, origin.url("/file")));
  for (const download of downloads) {
    assert.equal(await sha256Of(download), sha256OfGenerated(content));
    download[Symbol.dispose]();
  }
  assert.equal(origin.totals().bytesSent, content.bytes);
});

test("a small file and an empty one travel between peers too", async () => {
  const content = { bytes: 1000, seed: 4 };
  await using origin = await startOrigin({ content: { "/small": content, "/empty": new Uint8Array() } });
  await using scheduler = await startTestScheduler();
  const schedulers = [scheduler.address];
  await using a = await startTestDaemon({ name: "a", schedulers });
  await using b = await startTestDaemon({ name: "b", schedulers });
  for (const path of ["/small", "/empty"]) {
    for (const daemon of [a, b]) {
      using download = from(daemon, origin.url(path));
      const { meta } = await download.done;
      assert.equal(meta.contentLength, path === "/small" ? 1000 : 0);
    }
  }
  assert.equal(origin.stats("/small").gets, 1);
});

test("response headers of the source reach those who got the content from peers", async () => {
  await using origin = await startOrigin({
    content: { "/file": { bytes: 5 * MIB, seed: 5 } },
    faults: { "/file": { headers: { "x-origin": "itself" } } },
  });
  await using scheduler = await startTestScheduler();
  await using a = await startTestDaemon({ name: "a", schedulers: [scheduler.address] });
  await using b = await startTestDaemon({ name: "b", schedulers: [scheduler.address] });
  using one = from(a, origin.url("/file"));
  await one.done;
  using two = from(b, origin.url("/file"));
  const { meta, bytesFrom } = await two.done;
  assert.equal(meta.responseHeader["x-origin"], "itself");
  assert.equal(bytesFrom["back-to-source"], 0);
});

test("content of unknown length reaches everybody, from one read", async () => {
  const content = { bytes: 13 * MIB + 3, seed: 6 };
  await using origin = await startOrigin({ content: { "/file": content }, faults: { "/file": { chunked: true } } });
  await using scheduler = await startTestScheduler();
  await using a = await startTestDaemon({ name: "a", schedulers: [scheduler.address] });
  await using b = await startTestDaemon({ name: "b", schedulers: [scheduler.address] });
  using one = from(a, origin.url("/file"));
  using two = from(b, origin.url("/file"));
  assert.equal(await sha256Of(one), sha256OfGenerated(content));
  assert.equal(await sha256Of(two), sha256OfGenerated(content));
  assert.equal(origin.totals().bytesSent, content.bytes);
});

test("a source that refuses fails everybody with its own reason, and is not asked by each of them", async () => {
  await using origin = await startOrigin({ faults: { "/locked": { status: 401 } } });
  await using scheduler = await startTestScheduler();
  const schedulers = [scheduler.address];
  await using _seed = await startTestDaemon({ name: "seed", seed: true, schedulers });
  await using a = await startTestDaemon({ name: "a", schedulers });
  await using b = await startTestDaemon({ name: "b", schedulers });
  for (const [path, code] of [
    ["/missing", "source.not-found"],
    ["/locked", "source.unauthorized"],
  ] as const) {
    using one = from(a, origin.url(path));
    using two = from(b, origin.url(path));
    assert.equal(await codeOf(one.done), code);
    assert.equal(await codeOf(two.done), code);
    assert.ok(origin.stats(path).gets <= 3, `${origin.stats(path).gets} requests`);
  }
});

test("a parent with damaged content is found out, and the content comes from elsewhere", async () => {
  const content = { bytes: 25 * MIB, seed: 7 };
  await using origin = await startOrigin({ content: { "/file": content } });
  await using scheduler = await startTestScheduler();
  const schedulers = [scheduler.address];
  await using liar = await startTestDaemon({ name: "liar", schedulers });
  await using honest = await startTestDaemon({ name: "honest", schedulers });
  await using child = await startTestDaemon({ name: "child", schedulers });
  for (const daemon of [liar, honest]) {
    using download = from(daemon, origin.url("/file"));
    await download.done;
  }
  await damage(liar);
  using download = from(child, origin.url("/file"));
  assert.equal(await sha256Of(download), sha256OfGenerated(content));
  assert.equal(origin.totals().bytesSent, content.bytes, "the source was not needed again");
});

test("when the scheduler restarts, what daemons hold is known again without the origin", async () => {
  const content = { bytes: 9 * MIB, seed: 8 };
  await using origin = await startOrigin({ content: { "/file": content } });
  const before = await startTestScheduler();
  const port = Number(before.address.split(":")[1]);
  await using a = await startTestDaemon({ name: "a", schedulers: [before.address] });
  await using b = await startTestDaemon({ name: "b", schedulers: [before.address], config: { schedulerConnectMs: "10s" } });
  using one = from(a, origin.url("/file"));
  await one.done;
  await before[Symbol.asyncDispose]();
  await using _after = await startTestScheduler({ settleMs: "1s" }, port);
  await attached(a);
  await attached(b);
  using two = from(b, origin.url("/file"));
  assert.equal(await sha256Of(two), sha256OfGenerated(content));
  assert.equal(origin.totals().gets, 1);
});

test("a scheduler that restarts in the middle of downloads sends nobody else to the origin", async () => {
  const content = { bytes: 48 * MIB, seed: 11 };
  await using origin = await startOrigin({ content: { "/file": content }, faults: { "/file": { bytesPerSecond: 16 * MIB } } });
  const before = await startTestScheduler();
  const port = Number(before.address.split(":")[1]);
  const schedulers = [before.address];
  await using _seed = await startTestDaemon({ name: "seed", seed: true, schedulers });
  await using a = await startTestDaemon({ name: "a", schedulers });
  await using b = await startTestDaemon({ name: "b", schedulers });
  using one = from(a, origin.url("/file"));
  using two = from(b, origin.url("/file"));
  await origin.until(() => origin.stats("/file").bytesSent > 10 * MIB);
  await before[Symbol.asyncDispose]();
  await using _after = await startTestScheduler({ settleMs: "1s" }, port);
  assert.equal(await sha256Of(one), sha256OfGenerated(content));
  assert.equal(await sha256Of(two), sha256OfGenerated(content));
  assert.equal(origin.totals().gets, 1);
});

test("a reader that dies half-way is replaced, and what it gave away is not read again", async () => {
  const content = { bytes: 40 * MIB, seed: 9 };
  await using origin = await startOrigin({ content: { "/file": content }, faults: { "/file": { bytesPerSecond: 40 * MIB } } });
  await using scheduler = await startTestScheduler();
  const schedulers = [scheduler.address];
  const seed = await startTestDaemon({ name: "seed", seed: true, schedulers });
  await using a = await startTestDaemon({ name: "a", schedulers });
  using download = from(a, origin.url("/file"));
  const never = new AbortController().signal;
  let pieces = 0;
  for await (const _piece of download.pieces(never)) if (++pieces === 3) break;
  await seed[Symbol.asyncDispose]();
  assert.equal(await sha256Of(download), sha256OfGenerated(content));
  const { bytesFrom, meta } = await download.done;
  assert.ok(bytesFrom["remote-peer"] >= 3 * meta.pieceLength);
  assert.equal(bytesFrom["remote-peer"] + bytesFrom["back-to-source"], content.bytes);
});

test("only peers: nobody has it and the source is not allowed", async () => {
  await using origin = await startOrigin({ content: { "/file": "x" } });
  await using scheduler = await startTestScheduler({ retryInterval: "40ms" });
  await using a = await startTestDaemon({ name: "a", schedulers: [scheduler.address] });
  using download = from(a, origin.url("/file"), { disableBackToSource: true });
  assert.equal(await codeOf(download.done), "download.no-source");
  assert.equal(origin.totals().gets, 0);
});

test("peers only, joined by somebody who does not mind the source", async () => {
  const content = { bytes: 5 * MIB, seed: 10 };
  await using origin = await startOrigin({ content: { "/file": content } });
  await using scheduler = await startTestScheduler({ retryInterval: "60ms" });
  await using a = await startTestDaemon({ name: "a", schedulers: [scheduler.address] });
  using strict = from(a, origin.url("/file"), { disableBackToSource: true });
  using easy = from(a, origin.url("/file"));
  assert.equal(await sha256Of(easy), sha256OfGenerated(content));
  assert.equal(await codeOf(strict.done), "none");
});

/** Writes into each piece of the only task behind the daemon's back. */
async function damage(daemon: TestDaemon): Promise<void> {
  const [stored] = daemon.store.list();
  assert.ok(stored !== undefined);
  await chmod(stored.path, 0o600);
  const file = await open(stored.path, "r+");
  for (let at = 100; at < stored.meta.contentLength; at += MIB) await file.write(Buffer.from("damage"), 0, 6, at);
  await file.close();
}
