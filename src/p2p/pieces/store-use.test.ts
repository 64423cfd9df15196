import assert from "node:assert/strict";
import { mkdtemp, rm, stat, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { aSmallDisk } from "../../../test/kit/small-disk.ts";
import { realClock, type Clock } from "../../base/clock.ts";
import { silentLog, type Log, type LogFields } from "../../base/log.ts";
import { createRegistry, type Registry } from "../../base/metrics.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { parseTaskId } from "../model/ids.ts";
import { PiecesConfig } from "./config.ts";
import { fileIdOf, type InUse, type Use } from "./in-use.ts";
import { contentPathOf, layoutOf } from "./layout.ts";
import { aContent, never, pieceOf, storeAll, storePiece, type TestContent } from "./piece-store.conformance.ts";
import { openPieceStore } from "./store.ts";
import type { InUseReason, PieceStore, StoredTask } from "./types.ts";

const BLOCK_BYTES = 4096;
const HOUR_MS = 3_600_000;

interface Settings {
  readonly clock?: Clock;
  readonly config?: object;
  readonly inUse?: readonly InUse[];
  readonly log?: Log;
  readonly metrics?: Registry;
}

async function aDirectory(): Promise<AsyncDisposable & { readonly dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), "anax-use-"));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

const openIn = (dir: string, { config = {}, clock = realClock, log = silentLog, ...rest }: Settings = {}): Promise<PieceStore> =>
  openPieceStore({ dir, clock, log, config: PiecesConfig.parse(config), ...rest });

async function finishIn(store: PieceStore, content: TestContent): Promise<StoredTask> {
  const task = await store.open(content.meta);
  await storeAll(task, content);
  await task.finish(never());
  return task;
}

/** Content of whole blocks whose task is named by its digest, as that of a registry's blob. */
function aBlob(seed: number, blocks = 10): TestContent {
  const plain = aContent({ seed, bytes: blocks * BLOCK_BYTES, digest: "sha256" });
  const digest = plain.meta.digest!; // it was asked for
  const id = parseTaskId(digest.slice("sha256:".length));
  return { ...plain, meta: { ...plain.meta, id, url: `http://registry.test/v2/app/blobs/${digest}` } };
}

/** Uses as a test says. */
function stated(uses: readonly Use[]): InUse & { say(now: readonly Use[]): void; readonly asked: number } {
  let asked = 0;
  return {
    uses: async () => {
      asked++;
      return uses;
    },
    say: (now) => void (uses = now),
    get asked() {
      return asked;
    },
  };
}

const byContainer = (content: Use["content"]): Use => ({ reason: "container", by: "web (app:1)", content });
const idsIn = (store: PieceStore): string[] => store.list().map(({ meta }) => meta.id);

test("what a container uses is passed over, by digest, and goes when the container is gone", async () => {
  await using place = await aDirectory();
  const [used, other, third] = [aBlob(1), aBlob(2), aBlob(3)];
  const outside = stated([]);
  const metrics = createRegistry({ runtime: false });
  const clock = new VirtualClock();
  const config = { quotaBytes: 25 * BLOCK_BYTES };
  await using store = await openIn(place.dir, { clock, metrics, inUse: [outside], config });
  for (const content of [used, other, third]) {
    await finishIn(store, content);
    outside.say([byContainer({ digest: used.meta.digest! })]); // made of what has come
    await clock.advance(2000);
  }
  assert.deepEqual(idsIn(store), [used.meta.id, third.meta.id], "the least recently used stays, as it is in use");
  assert.match(await metrics.metrics(), /anax_pieces_kept_tasks_total\{reason="container"\} 1/);
  const { verdicts } = await store.collect({ dryRun: true });
  assert.deepEqual(
    verdicts.map(({ id, inUse, usedBy }) => [id, ...inUse, ...usedBy]),
    [[used.meta.id, "container", "web (app:1)"], [third.meta.id]],
  );
  await assert.rejects(store.remove(used.meta.id), { details: { taskId: used.meta.id, reasons: ["container"], usedBy: ["web (app:1)"] } });
  outside.say([]);
  assert.equal((await store.collect({ freeBytes: 1 })).freedBytes, 10 * BLOCK_BYTES);
  assert.deepEqual(idsIn(store), [third.meta.id]);
});

test("what is mounted is known by its file", async () => {
  await using place = await aDirectory();
  const outside = stated([]);
  await using store = await openIn(place.dir, { inUse: [outside] });
  const task = await finishIn(store, aContent());
  outside.say([{ reason: "mount", by: "/mnt/model", content: { file: fileIdOf(await stat(task.path, { bigint: true })) } }]);
  const { verdicts } = await store.collect({ freeBytes: 1 });
  assert.deepEqual(
    verdicts.map(({ inUse, usedBy }) => [...inUse, ...usedBy]),
    [["mount", "/mnt/model"]],
  );
});

test("while nobody can tell what containers use, every blob of an image stays, and nothing else", async () => {
  await using place = await aDirectory();
  await using store = await openIn(place.dir, { inUse: [stated([byContainer("image-blobs")])] });
  await finishIn(store, aContent());
  await finishIn(store, aBlob(2));
  await store.collect({ freeBytes: 1e9 });
  assert.deepEqual(idsIn(store), [aBlob(2).meta.id]);
});

test("others are asked only before something has to go, and not by each of many at once", async () => {
  await using place = await aDirectory();
  const outside = stated([]);
  const clock = new VirtualClock();
  const config = { quotaBytes: 20 * BLOCK_BYTES, collectIntervalMs: "1m" };
  await using store = await openIn(place.dir, { clock, inUse: [outside], config });
  assert.equal(outside.asked, 1, "at the start");
  for (const seed of [1, 2]) await finishIn(store, aBlob(seed));
  await clock.advance(120_000);
  assert.equal(outside.asked, 1, "there is room");
  await Promise.all([3, 4].map((seed) => finishIn(store, aBlob(seed))));
  assert.equal(outside.asked, 2);
});

for (const reason of ["download", "upload", "proxy-read", "export"] as const satisfies readonly InUseReason[]) {
  test(`a use by ${reason} counts as the last use, from its beginning to its end`, async () => {
    await using place = await aDirectory();
    const clock = new VirtualClock();
    await using store = await openIn(place.dir, { clock });
    const task = await finishIn(store, aContent());
    await clock.advance(1000);
    const lease = task.lease(reason);
    assert.equal(task.accessedAtMs, clock.wallMs());
    await clock.advance(1000);
    lease[Symbol.dispose]();
    assert.equal(task.accessedAtMs, clock.wallMs());
  });
}

test("the last use is on the disk within the interval of the collection, whatever becomes of the process", async () => {
  await using place = await aDirectory();
  const clock = new VirtualClock();
  await using store = await openIn(place.dir, { clock, config: { collectIntervalMs: "1m" } });
  const task = await finishIn(store, aContent());
  await clock.advance(5000);
  task.lease("upload")[Symbol.dispose]();
  using database = new DatabaseSync(layoutOf(place.dir).database, { readOnly: true });
  const recorded = (): unknown => database.prepare("SELECT accessed_at_ms AS at FROM tasks").get()?.["at"];
  assert.notEqual(recorded(), task.accessedAtMs);
  await clock.advance(60_000 + 1000);
  for (let turn = 0; turn < 10_000 && recorded() !== task.accessedAtMs; turn++) await setImmediate();
  assert.equal(recorded(), task.accessedAtMs);
});

// What is counted, and what is there

/** A log that keeps what was said of one event. */
function logOf(event: string): { readonly log: Log; readonly said: { readonly level: string; readonly fields: LogFields }[] } {
  const said: { level: string; fields: LogFields }[] = [];
  const at =
    (level: string) =>
    (what: string, fields: LogFields = {}): void => {
      if (what === event) said.push({ level, fields });
    };
  const log: Log = { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug"), child: () => log };
  return { log, said };
}

test("what a broken-off download left in its file counts, and is said once", async () => {
  await using place = await aDirectory();
  const metrics = createRegistry({ runtime: false });
  const { log, said } = logOf("store.accounting-corrected");
  await using store = await openIn(place.dir, { log, metrics });
  const pieceBytes = 64 * BLOCK_BYTES;
  const content = aContent({ bytes: 2 * pieceBytes, pieceBytes });
  const task = await store.open(content.meta);
  await storePiece(task, content, 0);
  const writer = task.writePiece({ index: 1, traffic: "remote-peer", parentId: "parent" });
  await writer.write(pieceOf(content, 1).subarray(0, pieceBytes / 2));
  writer.abort();
  task.fail(new Error("the network is gone"));
  assert.equal((await store.usage()).storedBytes, pieceBytes);
  await store.collect();
  assert.equal((await store.usage()).storedBytes, pieceBytes * 1.5);
  assert.match(await metrics.metrics(), new RegExp(`anax_pieces_unaccounted_bytes ${pieceBytes / 2}\n`));
  await store.collect();
  assert.deepEqual(
    said.map(({ level, fields }) => [level, fields["differenceBytes"]]),
    [["warn", pieceBytes / 2]],
    "it is counted since, so there is no difference any more",
  );
  await store.open(content.meta);
  assert.equal((await store.usage()).reservedBytes, pieceBytes / 2, "what is there already needs no more space");
});

test("after a restart what the files take is counted from the start", async () => {
  await using place = await aDirectory();
  const content = aContent({ bytes: 100, pieceBytes: 16_384 });
  {
    await using store = await openIn(place.dir);
    await finishIn(store, content);
    assert.equal((await store.usage()).storedBytes, 100);
  }
  await using store = await openIn(place.dir);
  assert.equal((await store.usage()).storedBytes, BLOCK_BYTES);
});

test("a file that is nobody's goes when nobody wrote to it for an hour", async () => {
  await using place = await aDirectory();
  const clock = new VirtualClock();
  await using store = await openIn(place.dir, { clock });
  const task = await finishIn(store, aContent());
  const left = [`${task.path}.new`, store.spoolPath()];
  for (const path of left) await writeFile(path, "left behind");
  await store.collect();
  await writeFile(left[1]!, "left behind, but somebody writes to it");
  await clock.advance(HOUR_MS);
  await store.collect();
  await assert.rejects(stat(left[0]!), { code: "ENOENT" });
  assert.ok((await stat(left[1]!)).isFile());
  assert.deepEqual(idsIn(store), [task.meta.id]);
});

test("a task whose file somebody took away is found out and goes", async () => {
  await using place = await aDirectory();
  const { log, said } = logOf("store.task-lost");
  const clock = new VirtualClock();
  await using store = await openIn(place.dir, { clock, log, config: { accountIntervalMs: "1h" } });
  const [taken, other] = [aContent({ seed: 1 }), aContent({ seed: 2 })];
  for (const content of [taken, other]) await finishIn(store, content);
  await unlink(contentPathOf(layoutOf(place.dir), taken.meta.id));
  const { promise: removed, resolve } = Promise.withResolvers<string>();
  using _ = store.events.onRemoved(resolve);
  await clock.advance(HOUR_MS);
  assert.equal(await removed, taken.meta.id);
  assert.deepEqual(idsIn(store), [other.meta.id]);
  assert.equal(said.length, 1);
});

test("over the high share of the disk, the least recently used go down to the low one", async (t) => {
  await using disk = await aSmallDisk(t, { bytes: 8 * 1024 * 1024 });
  if (disk === undefined) return;
  const clock = new VirtualClock();
  const config = { diskHighPercent: 50, diskLowPercent: 30, diskFreeMinBytes: 0, collectIntervalMs: "1m" };
  await using store = await openIn(disk.dir, { clock, config });
  const contents = [1, 2, 3].map((seed) => aContent({ seed, bytes: 1024 * 1024 }));
  for (const content of contents) {
    await finishIn(store, content);
    await clock.advance(1000);
  }
  assert.equal((await store.collect({ dryRun: true })).neededBytes, 0, "three eighths are under the high share");
  const last = [4, 5].map((seed) => aContent({ seed, bytes: 1024 * 1024 }));
  for (const content of last) await finishIn(store, content);
  await store.collect();
  assert.deepEqual(
    idsIn(store),
    last.map(({ meta }) => meta.id),
  );
});
