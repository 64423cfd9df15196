import assert from "node:assert/strict";
import { chownSync } from "node:fs";
import {
  chmod,
  link,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  writeFile,
  open as openFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { silentLog, type Log } from "../../base/log.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { DiskThread } from "../../disk/disk-thread.ts";
import { PiecesConfig } from "./config.ts";
import {
  type TestContent,
  aContent,
  digestOf,
  never,
  pieceOf,
  readAll,
  rejectsWith,
  storeAll,
  storePiece,
  testPieceStore,
} from "./piece-store.conformance.ts";
import { openPieceStore, type PieceStoreOptions } from "./store.ts";
import { PINNED_FOR_GOOD, type PieceStore } from "./types.ts";

const NOBODY = 65_534;
type Settings = Partial<Omit<PieceStoreOptions, "dir" | "config">> & { readonly config?: Readonly<Record<string, unknown>> };

async function aDirectory(): Promise<AsyncDisposable & { readonly dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), "anax-pieces-"));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

const openIn = (dir: string, { config, ...rest }: Settings = {}): Promise<PieceStore> =>
  openPieceStore({ dir, clock: realClock, log: silentLog, ...rest, config: PiecesConfig.parse(config ?? {}) });

async function aStore(settings: Settings = {}): Promise<AsyncDisposable & { readonly store: PieceStore; readonly dir: string }> {
  await using scope = new AsyncDisposableStack();
  const { dir } = scope.use(await aDirectory());
  const store = scope.use(await openIn(dir, settings));
  const owned = scope.move();
  return { store, dir, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function recordingLog(): Log & { readonly events: string[] } {
  const events: string[] = [];
  const note = (event: string): void => void events.push(event);
  const log = { events, error: note, warn: note, info: note, debug: note, child: () => log };
  return log;
}

testPieceStore("on disk", aStore);
testPieceStore("on disk, synced later, few open files", () =>
  aStore({ config: { syncOnFinish: false, openFilesMax: 8, commitPiecesMax: 1 } }),
);

test("a store that is opened again has its tasks, and a finished one is trusted", async () => {
  await using place = await aDirectory();
  const content = aContent({ digest: "sha256" });
  const clock = new VirtualClock();
  {
    await using store = await openIn(place.dir, { clock });
    const task = await store.open(content.meta);
    await storeAll(task, content);
    await task.finish(never());
    task.addUploadedBytes(77);
    await clock.advance(5000);
    using _ = task.lease("upload");
  }
  await using store = await openIn(place.dir, { clock });
  const task = store.find(content.meta.id)!;
  assert.equal(task.state, "finished");
  assert.deepEqual(task.meta, content.meta);
  assert.equal(task.uploadedBytes, 77);
  assert.equal(task.accessedAtMs - task.createdAtMs, 5000);
  assert.equal(task.piece(3)?.parentId, "parent");
  assert.ok((await readAll(task)).equals(content.bytes));
});

test("kept pieces of an unfinished task are verified before they are held, damaged ones are dropped", async () => {
  await using place = await aDirectory();
  const content = aContent();
  {
    await using store = await openIn(place.dir);
    const task = await store.open(content.meta);
    for (const index of [0, 2, 3, 6]) await storePiece(task, content, index);
  }
  await overwrite(contentPath(place.dir, content.meta.id), 2 * 16_384 + 100, "torn");
  await using store = await openIn(place.dir);
  const found = store.find(content.meta.id)!;
  assert.equal(found.state, "verifying");
  assert.equal(found.finished.count, 0);
  await found.waitForPiece(6, never());
  const task = await store.open(content.meta);
  assert.equal(task, found);
  assert.equal(task.state, "partial");
  assert.deepEqual(
    [0, 1, 2, 3, 6].map((index) => task.finished.has(index)),
    [true, false, false, true, true],
  );
  await storeMissing(task, content);
  await task.finish(never());
  assert.ok((await readAll(task)).equals(content.bytes));
});

test("records and files that do not belong together are cleared away at the start", async () => {
  await using place = await aDirectory();
  const contents = [1, 2, 3].map((seed) => aContent({ seed }));
  {
    await using store = await openIn(place.dir);
    for (const content of contents) await storeAll(await store.open(content.meta), content);
    await writeFile(store.spoolPath(), "left behind");
  }
  const [gone, cut, whole] = contents.map((content) => contentPath(place.dir, content.meta.id));
  await unlink(gone!);
  await truncate(cut!, 5);
  await writeFile(`${whole!}.new`, "an orphan");
  const log = recordingLog();
  await using store = await openIn(place.dir, { log });
  assert.deepEqual(
    store.list().map((task) => task.meta.id),
    [contents[2]!.meta.id],
  );
  assert.deepEqual(log.events, ["store.task-lost", "store.task-lost", "store.orphans-removed", "store.opened"]);
  await assert.rejects(stat(cut!), { code: "ENOENT" });
  await assert.rejects(stat(`${whole!}.new`), { code: "ENOENT" });
  assert.deepEqual(await readdir(join(place.dir, "spool")), []);
});

test("a database from a newer version is refused and left alone", async () => {
  await using place = await aDirectory();
  await (await openIn(place.dir))[Symbol.asyncDispose]();
  const database = new DatabaseSync(join(place.dir, "pieces.db"));
  database.exec("PRAGMA user_version = 3");
  database.close();
  await rejectsWith(openIn(place.dir), "disk.newer-format");
  await rejectsWith(openIn(place.dir), "disk.newer-format"); // the lock was given back
});

test("a database of version 1 is brought up to date, with nothing pinned", async () => {
  await using place = await aDirectory();
  const content = aContent();
  {
    await using store = await openIn(place.dir);
    await storeAll(await store.open(content.meta), content);
  }
  const database = new DatabaseSync(join(place.dir, "pieces.db"));
  database.exec("ALTER TABLE tasks DROP COLUMN pinned_until_ms; PRAGMA user_version = 1");
  database.close();
  await using store = await openIn(place.dir);
  const [task] = store.list();
  assert.deepEqual([task?.meta.id, task?.pinnedUntilMs], [content.meta.id, undefined]);
  await store.pin(content.meta.id, PINNED_FOR_GOOD);
  assert.equal(task?.pinnedUntilMs, PINNED_FOR_GOOD);
});

test("a pin outlives a restart, keeps the task whatever happens, and ends when its time is over", async () => {
  await using place = await aDirectory();
  const clock = new VirtualClock();
  const [forGood, forADay] = [1, 2].map((seed) => aContent({ seed })) as [TestContent, TestContent];
  {
    await using store = await openIn(place.dir, { clock });
    for (const content of [forGood, forADay]) {
      const task = await store.open(content.meta);
      await storeAll(task, content);
      await task.finish(never());
    }
    await store.pin(forGood.meta.id, PINNED_FOR_GOOD);
    await store.pin(forADay.meta.id, clock.wallMs() + 86_400_000);
  }
  const log = recordingLog();
  await using store = await openIn(place.dir, { clock, log });
  assert.equal(store.find(forGood.meta.id)?.pinnedUntilMs, PINNED_FOR_GOOD);
  await rejectsWith(store.remove(forADay.meta.id), "task.in-use");
  const kept = await store.collect({ freeBytes: 1e9 });
  assert.deepEqual(
    kept.verdicts.map(({ verdict, inUse }) => [verdict, ...inUse].join(" ")),
    ["in-use pin", "in-use pin"],
  );
  await clock.advance(86_400_000);
  const wouldGo = await store.collect({ freeBytes: 1e9, dryRun: true });
  assert.deepEqual(
    wouldGo.verdicts.map(({ id, verdict }) => `${id === forADay.meta.id} ${verdict}`),
    ["true space", "false in-use"],
  );
  assert.equal(store.list().length, 2);
  assert.equal((await store.collect({ freeBytes: 1e9 })).freedBytes, 102_400, "whole blocks of 4096 bytes");
  await store.unpin(forGood.meta.id);
  await store.remove(forGood.meta.id);
  await rejectsWith(store.pin(forGood.meta.id, PINNED_FOR_GOOD), "task.not-found");
});

test("a damaged database costs the content, not the service", async () => {
  await using place = await aDirectory();
  const content = aContent();
  {
    await using store = await openIn(place.dir);
    await storeAll(await store.open(content.meta), content);
  }
  await overwrite(join(place.dir, "pieces.db"), 0, "this is no database at all, not in the least, and it is long enough to be noticed");
  const log = recordingLog();
  await using store = await openIn(place.dir, { log });
  assert.deepEqual(log.events, ["store.database-damaged", "store.orphans-removed"]);
  assert.deepEqual(store.list(), []);
  await storeAll(await store.open(content.meta), content);
});

test("a reader's doubt drops a damaged piece of a finished task, and only that", async () => {
  await using opened = await aStore();
  const content = aContent();
  const task = await opened.store.open(content.meta);
  await storeAll(task, content);
  await task.finish(never());
  const dropped: number[] = [];
  using _ = opened.store.events.onDropped((_task, index) => dropped.push(index));
  assert.equal(await task.quarantinePiece(1), "intact");
  await chmod(task.path, 0o644);
  await overwrite(task.path, 16_384, "bit rot");
  assert.equal(await task.quarantinePiece(1), "dropped");
  assert.deepEqual(dropped, [1]);
  assert.equal(task.state, "partial");
  assert.equal(task.finished.count, content.meta.pieceCount - 1);
  assert.equal(await storePiece(task, content, 1), "stored");
  await task.finish(never());
  assert.ok((await readAll(task)).equals(content.bytes));
});

test("a damaged file that is linked elsewhere is repaired in a file of our own", async () => {
  await using opened = await aStore();
  const content = aContent();
  const task = await opened.store.open(content.meta);
  await storeAll(task, content);
  await task.finish(never());
  const output = join(opened.dir, "output");
  await link(task.path, output);
  await chmod(output, 0o644);
  await writeFile(output, Buffer.alloc(content.bytes.length, "mine now"));
  const dropped: number[] = [];
  using _ = opened.store.events.onDropped((_task, index) => dropped.push(index));
  assert.equal(await task.quarantinePiece(0), "dropped");
  assert.equal(task.finished.count, 0);
  assert.equal(dropped.length, content.meta.pieceCount);
  await storeAll(task, content);
  await task.finish(never());
  assert.ok((await readAll(task)).equals(content.bytes));
  assert.equal((await readFile(output, "latin1")).slice(0, 8), "mine now");
});

test("finished content is read-only, and a hard link keeps the task", async () => {
  await using opened = await aStore();
  const content = aContent();
  const task = await opened.store.open(content.meta);
  await storeAll(task, content);
  await task.finish(never());
  assert.equal((await stat(task.path)).mode & 0o777, 0o444);
  await link(task.path, join(opened.dir, "output"));
  assert.deepEqual(task.inUse, ["hard-link"]);
  await rejectsWith(opened.store.remove(content.meta.id), "task.in-use");
  await opened.store.remove(content.meta.id, { ignore: ["hard-link"] });
  assert.ok((await readFile(join(opened.dir, "output"))).equals(content.bytes));
});

test("a complete file is taken over", async () => {
  await using opened = await aStore();
  const content = aContent({ digest: "sha256" });
  const path = opened.store.spoolPath();
  await writeFile(path, content.bytes);
  const task = await opened.store.adopt(content.meta, path);
  assert.equal(task.state, "finished");
  assert.equal(task.piece(0)?.traffic, "back-to-source");
  assert.ok((await readAll(task)).equals(content.bytes));
  await assert.rejects(stat(path), { code: "ENOENT" });
  await writeFile(path, content.bytes);
  assert.equal(await opened.store.adopt(content.meta, path), task);
  await assert.rejects(stat(path), { code: "ENOENT" });
});

test("a file that is not what it should be stays its owner's", async () => {
  await using opened = await aStore();
  const content = aContent({ digest: "sha256" });
  const path = opened.store.spoolPath();
  await writeFile(path, content.bytes.subarray(1));
  await rejectsWith(opened.store.adopt(content.meta, path), "input.invalid");
  await writeFile(path, aContent({ seed: 4 }).bytes);
  await rejectsWith(opened.store.adopt(content.meta, path), "task.digest-mismatch");
  assert.equal((await stat(path)).size, 100_000);
  assert.deepEqual(opened.store.list(), []);
  await writeFile(path, content.bytes);
  const running = await opened.store.open(content.meta);
  await rejectsWith(opened.store.adopt(content.meta, path), "task.in-use");
  running.fail(new Error("given up"));
  assert.equal((await opened.store.adopt(content.meta, path)).state, "finished");
});

test("the quota evicts the least recently used of what is idle, then refuses", async () => {
  const clock = new VirtualClock();
  await using opened = await aStore({ clock, config: { quotaBytes: 250_000 } });
  const { store } = opened;
  const [one, two, three, four, five] = [1, 2, 3, 4, 5].map((seed) => aContent({ seed }));
  for (const content of [one!, two!]) {
    await clock.advance(1000);
    await finishIn(store, content);
  }
  await clock.advance(1000);
  using used = store.find(one!.meta.id)!.lease("upload"); // older, but used more recently
  used[Symbol.dispose]();
  await finishIn(store, three!);
  assert.deepEqual(idsIn(store), idsOf(one!, three!));
  using _one = store.find(one!.meta.id)!.lease("upload");
  using _three = store.find(three!.meta.id)!.lease("proxy-read");
  await assert.rejects(store.open(four!.meta), (error: { code: string; details: Record<string, unknown> }) => {
    assert.equal(error.code, "disk.full");
    assert.equal(error.details["neededBytes"], 100_000);
    assert.equal(error.details["shortBytes"], 50_000);
    return true;
  });
  assert.deepEqual(idsIn(store), idsOf(one!, three!));
  assert.equal((await store.usage()).reservedBytes, 0);
  await rejectsWith(store.adopt(five!.meta, await spooled(store, five!.bytes)), "disk.full");
});

test("a download waits for the space of another, and gets it when that one ends and is used no more", async () => {
  await using opened = await aStore({ config: { quotaBytes: 150_000, spaceWaitMs: "1h" } });
  const [one, two, three] = [1, 2, 3].map((seed) => aContent({ seed }));
  const first = await opened.store.open(one!.meta);
  const lease = first.lease("download");
  const waiting = opened.store.open(two!.meta);
  const impatient = new AbortController();
  const leaves = rejectsWith(opened.store.open(three!.meta, impatient.signal), "download.cancelled");
  impatient.abort(new AnaxError("download.cancelled"));
  await leaves;
  await storeAll(first, one!);
  await first.finish(never());
  lease[Symbol.dispose]();
  assert.equal((await waiting).meta.id, two!.meta.id);
  assert.deepEqual(idsIn(opened.store), idsOf(two!));
});

test("a download does not wait for longer than it is told to for space that another keeps", async () => {
  await using opened = await aStore({ config: { quotaBytes: 150_000, spaceWaitMs: "50ms" } });
  using _ = (await opened.store.open(aContent({ seed: 1 }).meta)).lease("download");
  await rejectsWith(opened.store.open(aContent({ seed: 2 }).meta), "disk.full");
});

test("who leaves while space is being set aside leaves none of it behind", async () => {
  await using opened = await aStore();
  const { store } = opened;
  const { meta } = aContent();
  const leave = new AbortController();
  const opening = store.open(meta, leave.signal);
  while (store.find(meta.id)?.inUse.includes("download") !== true) await setImmediate(); // the disk is being asked
  leave.abort(new Error("enough"));
  await assert.rejects(opening, /enough/);
  assert.deepEqual([store.find(meta.id)?.inUse, (await store.usage()).reservedBytes], [[], 0]);
});

test("two downloads cannot count on the same space", async () => {
  await using opened = await aStore({ config: { quotaBytes: 150_000, spaceWaitMs: "0ms" } });
  const [one, two] = [1, 2].map((seed) => aContent({ seed }));
  const outcomes = await Promise.allSettled([opened.store.open(one!.meta), opened.store.open(two!.meta)]);
  assert.deepEqual(outcomes.map((outcome) => outcome.status).toSorted(), ["fulfilled", "rejected"]);
  const [winner] = opened.store.list();
  winner!.lease("download")[Symbol.dispose](); // it gives up
  await opened.store.open((winner!.meta.id === one!.meta.id ? two! : one!).meta);
});

test("tasks that nobody used for long are collected by the clock", async () => {
  const clock = new VirtualClock();
  await using opened = await aStore({ clock, config: { taskTtlMs: "1h", collectIntervalMs: "1m" } });
  const [old, linked, fresh] = [1, 2, 3].map((seed) => aContent({ seed }));
  await finishIn(opened.store, old!);
  await link((await finishIn(opened.store, linked!)).path, join(opened.dir, "output"));
  await clock.advance(3_000_000);
  await finishIn(opened.store, fresh!);
  const { promise: removed, resolve } = Promise.withResolvers<string>();
  using _ = opened.store.events.onRemoved(resolve);
  await clock.advance(700_000);
  assert.equal(await removed, old!.meta.id);
  assert.deepEqual(idsIn(opened.store), idsOf(linked!, fresh!));
});

test("closing ends those who wait", async () => {
  await using place = await aDirectory();
  const store = await openIn(place.dir);
  const content = aContent({ digest: "sha256" });
  const task = await store.open(content.meta);
  const waiting = rejectsWith(task.waitForPiece(0, never()), "download.cancelled");
  const finishing = rejectsWith(task.finish(never()), "download.cancelled");
  const reading = rejectsWith(readAll(task), "download.cancelled");
  await Promise.all([store[Symbol.asyncDispose](), store[Symbol.asyncDispose](), waiting, finishing, reading]);
  await rejectsWith(store.open(content.meta), "download.cancelled");
});

test("a flush that fails costs the content, since the kernel tells nothing of what it lost a second time", async () => {
  await using opened = await aStore({ config: { openFilesMax: 8 } });
  const content = aContent();
  const task = await opened.store.open(content.meta);
  await storeAll(task, content);
  for (let seed = 2; seed < 11; seed++) await opened.store.open(aContent({ seed }).meta); // so that its file is closed and opened again
  const path = contentPath(opened.dir, content.meta.id);
  await unlink(path);
  await symlink("/dev/null", path); // which takes everything and flushes nothing
  await rejectsWith(task.finish(never()), "disk.io");
  assert.deepEqual([task.state, task.heldBytes, task.finishedAtMs], ["partial", 0, undefined]);
  await storeAll(task, content);
  await task.finish(never());
  assert.equal(task.state, "finished");
  assert.ok((await readFile(path)).equals(content.bytes));
});

test("nothing is left of a task for which there is no room", async () => {
  await using opened = await aStore();
  const pieceLength = 64 * 1024 * 1024;
  const contentLength = 17 * 1024 ** 4; // more than ext4 lets a file have
  const meta = { ...aContent().meta, contentLength, pieceLength, pieceCount: contentLength / pieceLength };
  for (let attempt = 0; attempt < 2; attempt++) {
    await rejectsWith(opened.store.open(meta), "disk.full");
    await assert.rejects(stat(contentPath(opened.dir, meta.id)), { code: "ENOENT" });
  }
  assert.deepEqual(opened.store.list(), []);
  assert.equal((await opened.store.usage()).reservedBytes, 0);
});

test("a digest learnt before the end is the one that counts", async () => {
  await using opened = await aStore();
  const content = aContent();
  const task = await opened.store.open(content.meta);
  await storePiece(task, content, 0);
  await opened.store.open({ ...content.meta, digest: digestOf(content.bytes, "sha256") });
  await rejectsWith(opened.store.open({ ...content.meta, digest: digestOf(pieceOf(content, 0), "sha256") }), "input.invalid");
  await storeMissing(task, content);
  await task.finish(never());
  assert.equal(task.meta.digest, digestOf(content.bytes, "sha256"));
});

const contentPath = (dir: string, id: string): string => join(dir, "tasks", id.slice(0, 3), id);

async function overwrite(path: string, at: number, text: string): Promise<void> {
  await using file = await openFile(path, "r+");
  await file.write(text, at, "latin1");
}

async function storeMissing(task: Awaited<ReturnType<PieceStore["open"]>>, content: ReturnType<typeof aContent>): Promise<void> {
  for (let index = 0; index < content.meta.pieceCount; index++) if (!task.finished.has(index)) await storePiece(task, content, index);
}

async function finishIn(store: PieceStore, content: ReturnType<typeof aContent>) {
  const task = await store.open(content.meta);
  await storeAll(task, content);
  await task.finish(never());
  return task;
}

async function spooled(store: PieceStore, bytes: Buffer): Promise<string> {
  const path = store.spoolPath();
  await writeFile(path, bytes);
  return path;
}

const idsIn = (store: PieceStore): string[] =>
  store
    .list()
    .map((task) => task.meta.id)
    .toSorted();
const idsOf = (...contents: readonly ReturnType<typeof aContent>[]): string[] => contents.map((content) => content.meta.id).toSorted();

test("many small tasks at once are as durable and as complete as a few", async () => {
  await using place = await aDirectory();
  await using disk = new DiskThread(realClock);
  await untilBusy(disk);
  const contents = Array.from({ length: 100 }, (_, seed) => aContent({ seed, bytes: 1000, digest: "sha256" }));
  {
    await using store = await openIn(place.dir, { disk, flusher: disk });
    await Promise.all(
      contents.map(async (content, index) => {
        const written = index % 2 === 0 ? await store.open(content.meta) : undefined;
        if (written !== undefined) await storeAll(written, content);
        const task = written ?? (await store.keep(content.meta, content.bytes, never()));
        await task?.finish(never());
      }),
    );
  }
  await using store = await openIn(place.dir, { disk });
  for (const content of contents) {
    const task = store.find(content.meta.id)!;
    assert.equal(task.state, "finished");
    assert.equal((await stat(task.path)).mode & 0o777, 0o444);
    assert.ok((await readAll(task)).equals(content.bytes));
  }
});

test("a small file that nobody may write to is taken up again after a restart, by who owns it", async () => {
  await using place = await aDirectory();
  using _ = asOrdinaryUser(place.dir);
  await using disk = new DiskThread(realClock);
  await untilBusy(disk);
  const content = aContent();
  let path: string;
  {
    await using store = await openIn(place.dir, { disk });
    path = (await store.keep(content.meta, content.bytes, never()))!.path;
  }
  assert.equal((await stat(path)).mode & 0o777, 0o444);
  await chmod(path, 0o644);
  await writeFile(path, Buffer.alloc(content.bytes.length));
  await chmod(path, 0o444);
  await using store = await openIn(place.dir, { disk });
  const task = await store.open(content.meta);
  assert.equal(task.finished.count, 0);
  await storeAll(task, content);
  await task.finish(never());
  assert.ok((await readFile(path)).equals(content.bytes));
  assert.equal((await stat(path)).mode & 0o777, 0o444);
});

/** The superuser may write to everything: until disposed, this process is somebody else, who owns `dir`. */
function asOrdinaryUser(dir: string): Disposable {
  if (process.geteuid?.() !== 0) return { [Symbol.dispose]: () => undefined };
  chownSync(dir, NOBODY, NOBODY);
  process.seteuid?.(NOBODY);
  return { [Symbol.dispose]: () => process.seteuid?.(0) };
}

const busyDisk = new DiskThread(realClock);
after(() => busyDisk[Symbol.asyncDispose]());
testPieceStore("on disk, among many", async () => {
  await untilBusy(busyDisk);
  return aStore({ disk: busyDisk, flusher: busyDisk });
});

/** From then on errands go to the thread. */
async function untilBusy(disk: DiskThread): Promise<void> {
  while (disk.tryRun("close", { fds: [] }) === undefined) await setImmediate();
}
