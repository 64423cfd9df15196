import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmod, open } from "node:fs/promises";
import { suite, test } from "node:test";
import { aDownload, attached, codeOf, sha256Of, startTestDaemon, startTestScheduler, until } from "../../../../test/kit/daemon.ts";
import type { TestDaemon, TestDaemonOptions } from "../../../../test/kit/daemon.ts";
import { sha256OfGenerated, type GeneratedContent } from "../../../../test/kit/generated-content.ts";
import { startOrigin, type Fault, type Origin } from "../../../../test/kit/origin.ts";
import type { Download, DownloadRequest } from "../types.ts";

// Real daemons of one process that trade: what they get, where it came from, and what they do when others misbehave or leave.

const MIB = 1024 * 1024;
const CONTENT = { bytes: 24 * MIB + 7, seed: 71 };
const PIECE_BYTES = MIB / 4; // what content of this size is cut into
const never = new AbortController().signal;
/** What a source may have handed to the system of a body that is given up in the middle: the buffers of its sockets. */
const IN_FLIGHT = 6 * MIB;

interface Site {
  readonly origin: Origin;
  readonly scheduler: Awaited<ReturnType<typeof startTestScheduler>>;
  start(name: string, more?: Partial<TestDaemonOptions>): Promise<TestDaemon>;
  /** Started together. */
  startAll(...names: readonly string[]): Promise<TestDaemon[]>;
  /** A download of the file. */
  begin(daemon: TestDaemon, more?: Partial<DownloadRequest>): Download;
}

interface SiteOptions {
  readonly content?: GeneratedContent;
  readonly fault?: Fault;
  readonly scheduler?: Readonly<Record<string, unknown>>;
}

async function aSite(scope: AsyncDisposableStack, { content = CONTENT, fault, scheduler: settings }: SiteOptions = {}): Promise<Site> {
  const origin = scope.use(await startOrigin({ content: { "/file": content }, faults: fault === undefined ? {} : { "/file": fault } }));
  const scheduler = scope.use(await startTestScheduler(settings));
  const schedulers = [scheduler.address];
  const start = async (name: string, more: Partial<TestDaemonOptions> = {}): Promise<TestDaemon> => {
    const daemon = scope.use(await startTestDaemon({ name, schedulers, ...more }));
    await attached(daemon);
    return daemon;
  };
  return {
    origin,
    scheduler,
    start,
    startAll: (...names) => Promise.all(names.map((name) => start(name))),
    begin: (daemon, more = {}) => scope.use(daemon.daemon.downloads.start(aDownload(origin.url("/file"), more))),
  };
}

/** The bytes of each download by where they came from; all of them are right. */
async function traffic(downloads: readonly Download[], content: GeneratedContent = CONTENT) {
  const expected = sha256OfGenerated(content);
  for (const download of downloads) assert.equal(await sha256Of(download), expected);
  const results = await Promise.all(downloads.map(({ done }) => done));
  const sum = (from: "back-to-source" | "remote-peer"): number => results.reduce((all, { bytesFrom }) => all + bytesFrom[from], 0);
  return { fromSource: sum("back-to-source"), fromPeers: sum("remote-peer"), results };
}

async function metric({ registry }: TestDaemon, name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
  const { values = [] } = (await registry.getSingleMetric(name)?.get()) ?? {};
  const fits = values.filter(({ labels: have }) => Object.entries(labels).every(([key, value]) => have[key] === value));
  return fits.reduce((sum, { value }) => sum + value, 0);
}

async function metricOfAll(daemons: readonly TestDaemon[], name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
  const values = await Promise.all(daemons.map((daemon) => metric(daemon, name, labels)));
  return values.reduce((sum, value) => sum + value, 0);
}

/** Writes into pieces of the only task behind the daemon's back. */
async function alter(daemon: TestDaemon, pieces: readonly number[]): Promise<void> {
  const [stored] = daemon.store.list();
  await chmod(stored!.path, 0o600); // there is one
  const file = await open(stored!.path, "r+");
  for (const piece of pieces) await file.write(Buffer.from("altered"), 0, 7, piece * PIECE_BYTES + 100_000);
  await file.close();
}

test("five that start at once share one reading of the origin, and pass on what is still arriving", async () => {
  await using scope = new AsyncDisposableStack();
  const content = { bytes: 16 * MIB + 3, seed: 72 };
  const site = await aSite(scope, { content });
  // A piece takes its time, so that whoever gets it is asked for it meanwhile: it is more than what is paid for and sent in one go.
  const rates = { uploadBytesPerSecond: "8MiB/s" };
  const daemons = await Promise.all(["a", "b", "c", "d", "e"].map((name) => site.start(name, { rates })));
  const downloads = daemons.map((daemon) => site.begin(daemon, { pieceLength: MIB / 2 }));
  const { fromSource, fromPeers } = await traffic(downloads, content);
  assert.equal(fromSource, content.bytes, "each piece was read from the source once");
  assert.equal(fromPeers, 4 * content.bytes);
  assert.ok(site.origin.totals().bytesSent <= content.bytes + IN_FLIGHT);
  assert.ok((await metricOfAll(daemons, "anax_mesh_received_bytes_total")) >= 4 * content.bytes); // late ones are asked for twice
  assert.ok((await metricOfAll(daemons, "anax_mesh_uploads_total", { outcome: "relayed" })) > 0);
  assert.equal(await metricOfAll(daemons, "anax_mesh_requests_total", { outcome: "failed" }), 0);
});

test("a holder whose disk damages some of its pieces gives the others, and only what it damaged is read from the source", async () => {
  await using scope = new AsyncDisposableStack();
  const site = await aSite(scope);
  const holder = await site.start("holder");
  await traffic([site.begin(holder)]);
  const damaged = [3, 14, 15, 26, 35, 44];
  await alter(holder, damaged);
  const download = site.begin(await site.start("late"));
  const { fromSource } = await traffic([download]);
  assert.equal(fromSource, damaged.length * PIECE_BYTES);
  const [stored] = holder.store.list();
  await until(() => damaged.every((piece) => !stored!.finished.has(piece))); // it was told, and found it so
  assert.equal(stored!.finished.count, stored!.meta.pieceCount - damaged.length);
});

test("a late one gets everything from those who have finished, and the origin is not asked", async () => {
  await using scope = new AsyncDisposableStack();
  const site = await aSite(scope);
  const daemons = await site.startAll("a", "b");
  await traffic(daemons.map((daemon) => site.begin(daemon)));
  const before = site.origin.totals();
  for (const name of ["late", "later"]) {
    const { fromSource, fromPeers } = await traffic([site.begin(await site.start(name))]);
    assert.deepEqual([fromSource, fromPeers], [0, CONTENT.bytes]);
  }
  assert.deepEqual(site.origin.totals(), before);
});

suite("a daemon whose file was altered on disk", () => {
  test("poisons nobody, nor makes others blame each other, where somebody else has the content", async () => {
    await using scope = new AsyncDisposableStack();
    const site = await aSite(scope);
    const [altered, honest] = (await site.startAll("altered", "honest")) as [TestDaemon, TestDaemon];
    for (const daemon of [altered, honest]) await site.begin(daemon).done;
    await alter(altered, [1, 5, 20, 47]);
    const before = site.origin.totals().gets;
    const children = await site.startAll("c", "d", "e");
    const { fromPeers } = await traffic(children.map((daemon) => site.begin(daemon)));
    assert.equal(fromPeers, 3 * CONTENT.bytes);
    assert.equal(site.origin.totals().gets, before);
  });

  test("is no source of what it lost where nobody else has it, but of everything else, and gets it back from its neighbours", async () => {
    await using scope = new AsyncDisposableStack();
    const site = await aSite(scope);
    const altered = await site.start("altered");
    const first = site.begin(altered);
    await first.done;
    first[Symbol.dispose](); // the next one is to begin anew
    await alter(altered, [3, 30]);
    const child = await site.start("child", { config: { noProgressMs: "1s" } });
    const { fromSource, fromPeers } = await traffic([site.begin(child)]);
    assert.equal(fromSource + fromPeers, CONTENT.bytes);
    assert.ok(fromSource >= 2 * PIECE_BYTES && fromPeers > 0, `${fromSource} bytes from the source`);
    const before = site.origin.totals().gets;
    assert.equal(altered.store.list()[0]?.finished.full, false);
    await site.begin(altered).done; // what nobody has asked it for may still be altered
    assert.equal(altered.store.list()[0]?.finished.full, true);
    assert.equal(site.origin.totals().gets, before);
  });
});

suite("whoever reads the source", () => {
  for (const sourceShareMax of [1, 4]) {
    test(`and leaves in the middle is replaced, and what peers have is not read again: at most ${sourceShareMax} readers`, async () => {
      await using scope = new AsyncDisposableStack();
      const site = await aSite(scope, { fault: { bytesPerSecond: 12 * MIB }, scheduler: { sourceShareMax } });
      const reader = await site.start("reader", { seed: true });
      const daemons = await site.startAll("a", "b", "c");
      const downloads = daemons.map((daemon) => site.begin(daemon));
      await until(() => daemons.every(({ store }) => (store.list()[0]?.finished.count ?? 0) >= 8));
      await reader[Symbol.asyncDispose]();
      const { fromSource, fromPeers } = await traffic(downloads);
      assert.equal(fromSource + fromPeers, 3 * CONTENT.bytes);
      if (sourceShareMax === 1) assert.ok(fromSource < CONTENT.bytes - 4 * PIECE_BYTES, `${fromSource} bytes by those who stayed`);
      assert.ok(site.origin.totals().bytesSent <= CONTENT.bytes + IN_FLIGHT, `${site.origin.totals().bytesSent} bytes left the origin`);
    });
  }

  test("and hears nothing more of it is replaced as well", async () => {
    await using scope = new AsyncDisposableStack();
    const site = await aSite(scope, {
      fault: { stallAfterBytes: 2 * MIB, times: 1 },
      scheduler: { sourceStallTimeoutMs: "1s", sourceShareMax: 1 },
    });
    const daemons = await site.startAll("a", "b", "c");
    const { fromSource } = await traffic(daemons.map((daemon) => site.begin(daemon)));
    assert.ok(fromSource <= CONTENT.bytes + IN_FLIGHT, `${fromSource} bytes from the source`);
    assert.ok(site.origin.totals().bytesSent <= CONTENT.bytes + 2 * IN_FLIGHT, `${site.origin.totals().bytesSent} bytes left the origin`);
  });
});

suite("a daemon of ours that does not trade", () => {
  const classic = { mesh: { enabled: false } };
  const rows: readonly (readonly [string, Partial<TestDaemonOptions>, Partial<TestDaemonOptions>])[] = [
    ["is a parent of one that does", classic, {}],
    ["gets its pieces from one that does", {}, classic],
  ];
  for (const [title, holder, asker] of rows) {
    test(title, async () => {
      await using scope = new AsyncDisposableStack();
      const site = await aSite(scope);
      await site.begin(await site.start("holder", holder)).done;
      const { fromPeers } = await traffic([site.begin(await site.start("asker", asker))]);
      assert.equal(fromPeers, CONTENT.bytes);
      assert.equal(site.origin.totals().gets, 1);
    });
  }

  test("starts together with those that do, and the origin is read once", async () => {
    await using scope = new AsyncDisposableStack();
    const site = await aSite(scope);
    const daemons = [await site.start("classic", classic), ...(await site.startAll("a", "b"))];
    const { fromSource } = await traffic(daemons.map((daemon) => site.begin(daemon)));
    assert.equal(fromSource, CONTENT.bytes);
  });
});

test("one with a limit on what it sends is not given up by those who wait for it", async () => {
  await using scope = new AsyncDisposableStack();
  const content = { bytes: 3 * MIB, seed: 73 };
  const site = await aSite(scope, { content });
  const slow = await site.start("slow", { rates: { uploadBytesPerSecond: "1MiB/s" } });
  await site.begin(slow).done;
  const child = await site.start("child");
  const { fromPeers } = await traffic([site.begin(child)], content);
  assert.equal(fromPeers, content.bytes);
  assert.equal(site.origin.totals().gets, 1);
});

test("a reader of the content gets its first bytes before the last have arrived, and all of them in order", async () => {
  await using scope = new AsyncDisposableStack();
  const site = await aSite(scope, { fault: { bytesPerSecond: 24 * MIB } });
  const [a, b] = (await site.startAll("a", "b")) as [TestDaemon, TestDaemon];
  const downloads = [a, b].map((daemon) => site.begin(daemon));
  const readers = downloads.map(async (download) => {
    const stored = await download.stored;
    const hash = createHash("sha256");
    let heldAtFirst: number | undefined;
    for await (const chunk of stored.stream({ start: 0, length: CONTENT.bytes }, never)) {
      heldAtFirst ??= stored.finished.count;
      hash.update(chunk);
    }
    assert.equal(hash.digest("hex"), sha256OfGenerated(CONTENT));
    return { heldAtFirst, pieces: stored.meta.pieceCount };
  });
  for (const { heldAtFirst, pieces } of await Promise.all(readers)) {
    assert.ok(heldAtFirst !== undefined && heldAtFirst < pieces, `${heldAtFirst} of ${pieces} pieces were held before the first byte`);
  }
  await traffic(downloads);
});

test("when the scheduler goes in the middle, those who know each other complete", async () => {
  await using scope = new AsyncDisposableStack();
  const site = await aSite(scope, { fault: { bytesPerSecond: 12 * MIB } });
  const daemons = await site.startAll("a", "b", "c");
  const downloads = daemons.map((daemon) => site.begin(daemon));
  await until(() => daemons.every(({ store }) => (store.list()[0]?.finished.count ?? 0) >= 8));
  await site.scheduler[Symbol.asyncDispose]();
  const { fromSource } = await traffic(downloads);
  assert.ok(fromSource <= CONTENT.bytes + IN_FLIGHT, `${fromSource} bytes from the source`);
});

test("whoever expected another digest gets the content from peers all the same, once it expects the right one", async () => {
  await using scope = new AsyncDisposableStack();
  const site = await aSite(scope);
  const [holder, child] = (await site.startAll("holder", "child")) as [TestDaemon, TestDaemon];
  await site.begin(holder).done;
  const wrong = site.begin(child, { digest: `sha256:${"0".repeat(64)}` });
  assert.equal(await codeOf(wrong.done), "task.digest-mismatch");
  wrong[Symbol.dispose]();
  const { fromPeers } = await traffic([site.begin(child, { digest: `sha256:${sha256OfGenerated(CONTENT)}` })]);
  assert.equal(fromPeers, CONTENT.bytes);
  assert.equal(site.origin.totals().gets, 1);
});

test("what nobody needs any more is forgotten: no task, neighbour or slot is left", async () => {
  await using scope = new AsyncDisposableStack();
  const site = await aSite(scope);
  const daemons = await site.startAll("a", "b", "c");
  const downloads = daemons.map((daemon) => site.begin(daemon));
  await traffic(downloads);
  for (const download of downloads) download[Symbol.dispose]();
  let left = [1];
  await until(() => {
    void Promise.all(daemons.flatMap((each) => [metric(each, "anax_mesh_tasks"), metric(each, "anax_mesh_neighbours")])).then(
      (now) => (left = now),
    );
    return left.every((count) => count === 0);
  });
  for (const { store } of daemons) assert.ok(store.list().every(({ inUse }) => !inUse.includes("upload")));
});
