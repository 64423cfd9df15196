import { randomUUID } from "node:crypto";
import { mkdir, rm, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf, systemCodeOf } from "../../base/errors.ts";
import { Semaphore } from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import { createRegistry, metricsOf, type Registry } from "../../base/metrics.ts";
import { lockDirectory } from "../../disk/directory-lock.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import type { DiskThread } from "../../disk/disk-thread.ts";
import type { TaskId } from "../model/ids.ts";
import { parseDigest, pieceCountOf } from "../model/piece.ts";
import type { TaskMeta } from "../model/types.ts";
import { Accountant } from "./accountant.ts";
import { moveFile, surveyFile } from "./adopt.ts";
import type { Victim } from "./collector.ts";
import { Collector } from "./collector-runner.ts";
import { CommitQueue } from "./commit-queue.ts";
import type { PiecesConfig } from "./config.ts";
import { ContentFile, OpenFiles } from "./content-file.ts";
import { DatabaseThread } from "./database-thread.ts";
import { DigestThread } from "./digest-thread.ts";
import { OutsideUses, type InUse } from "./in-use.ts";
import { contentPathOf, groupOf, layoutOf, type StoreLayout } from "./layout.ts";
import { PIECES_METRICS, type PiecesMetrics } from "./metrics.ts";
import { PieceTable } from "./piece-table.ts";
import { ReadBuffers } from "./read-buffers.ts";
import type { RecoveredTask } from "./recovery.ts";
import { TaskOnDisk } from "./task-on-disk.ts";
import { StoreSums } from "./store-sums.ts";
import type { TaskServices } from "./task-services.ts";
import { decodeRow } from "./task-row.ts";
import { withSignal } from "./with-signal.ts";
import type { Collection, CollectOptions, InUseReason, PieceStore, StoredTask, StoreEvents, StoreUsage } from "./types.ts";

export interface PieceStoreOptions {
  readonly dir: string;
  readonly config: PiecesConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Registry;
  /** False when the caller has locked the directory, or one around it, already. */
  readonly lockOwner?: boolean;
  /** Who else uses content here. */
  readonly inUse?: readonly InUse[];
  /** Where the short calls of many small tasks are made; without one, all go through Node's thread pool. It is there for as long as the store. */
  readonly disk?: DiskThread;
  /** Likewise, for what makes them durable. */
  readonly flusher?: DiskThread;
}

/**
 * Opens the store in `dir`, making it if it is new, and recovers what an earlier process left.
 * Throws `daemon.already-running`, `disk.newer-format`, `disk.full`, `disk.io`.
 */
export function openPieceStore(options: PieceStoreOptions): Promise<PieceStore> {
  return DiskPieceStore.open(options);
}

class DiskPieceStore implements PieceStore {
  readonly #options: PieceStoreOptions;
  readonly #layout: StoreLayout;
  readonly #metrics: PiecesMetrics;
  readonly #services: TaskServices;
  readonly #collector: Collector;
  readonly #accountant: Accountant;
  readonly #tasks = new Map<string, TaskOnDisk>();
  /** Per task, the making or deleting that is under way; the next one waits for it. */
  readonly #changing = new Map<string, Promise<unknown>>();
  readonly #background = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  readonly broken: AbortSignal;
  readonly #pieceListeners = new Set<(task: StoredTask, index: number) => void>();
  readonly #droppedListeners = new Set<(task: StoredTask, index: number) => void>();
  readonly #wantedListeners = new Set<(task: StoredTask, index: number) => void>();
  readonly #removedListeners = new Set<(id: TaskId) => void>();
  readonly #owned: AsyncDisposableStack;
  #disposed: Promise<void> | undefined;

  static async open(options: PieceStoreOptions): Promise<DiskPieceStore> {
    await using owned = new AsyncDisposableStack();
    if (options.lockOwner ?? true) owned.use(await lockDirectory(options.dir));
    const { thread, tasks, notices } = await DatabaseThread.open(options.dir);
    owned.use(thread);
    for (const { level, event, fields } of notices) options.log[level](event, fields);
    const digests = owned.use(new DigestThread());
    const store = new DiskPieceStore(options, { thread, digests, owned: owned.move() });
    store.#load(tasks);
    store.#start();
    return store;
  }

  private constructor(
    options: PieceStoreOptions,
    owned: { readonly thread: DatabaseThread; readonly digests: DigestThread; readonly owned: AsyncDisposableStack },
  ) {
    const { config, clock, log } = options;
    this.#options = options;
    this.#layout = layoutOf(options.dir);
    this.#owned = owned.owned;
    this.broken = owned.thread.broken;
    this.#metrics = metricsOf(options.metrics ?? createRegistry({ runtime: false }), PIECES_METRICS);
    const commits = new CommitQueue({
      commit: (operations, durable) => owned.thread.commit(operations, durable),
      clock,
      log,
      metrics: this.#metrics,
      intervalMs: config.commitIntervalMs,
      piecesMax: config.commitPiecesMax,
    });
    this.#services = {
      clock,
      log,
      metrics: this.#metrics,
      commits,
      files: new OpenFiles({ max: config.openFilesMax, clock, thread: options.disk, flusher: options.flusher }),
      digests: owned.digests,
      buffers: new ReadBuffers(),
      sums: new StoreSums(),
      outside: new OutsideUses(options.inUse ?? [], clock),
      syncOnFinish: config.syncOnFinish,
      closing: this.#closing.signal,
      spoolPath: () => this.spoolPath(),
      onPiece: (task, index) => this.#onPiece(task, index),
      onDropped: (task, index) => {
        for (const listen of this.#droppedListeners) listen(task, index);
      },
      onWanted: (task, index) => {
        for (const listen of this.#wantedListeners) listen(task, index);
      },
      onReleased: () => this.#collector.released(),
      inBackground: (work) => this.#inBackground(work),
    };
    this.#collector = new Collector({
      dir: options.dir,
      config,
      clock,
      log,
      metrics: this.#metrics,
      tasks: () => this.#tasks.values(),
      sums: this.#services.sums,
      outside: this.#services.outside,
      evict: (victim) => this.#evict(victim),
    });
    this.#accountant = new Accountant({
      layout: this.#layout,
      clock,
      log,
      metrics: this.#metrics,
      tasks: () => this.#tasks.values(),
      knows: (id) => this.#tasks.has(id) || this.#changing.has(id),
      lose: (task) => this.#lose(task),
    });
  }

  list(): readonly StoredTask[] {
    return [...this.#tasks.values()];
  }

  find(id: TaskId): StoredTask | undefined {
    return this.#tasks.get(id);
  }

  open(meta: TaskMeta, signal?: AbortSignal): Promise<StoredTask> {
    return this.#alone(meta.id, async () => {
      const stop = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
      const task = this.#tasks.get(meta.id) ?? (await this.#create(meta, stop));
      mustAgree(task.meta, meta);
      task.touch();
      try {
        await withSignal(task.verify(), stop);
        await this.#agreeOnDigest(task, meta, stop);
        if (task.state !== "finished" && !task.reserved) await this.#reserve(task, stop);
      } catch (error) {
        task.unreserveIfUnused(); // what was set aside for this caller alone
        throw error;
      }
      return task;
    });
  }

  keep(meta: TaskMeta, content: Uint8Array, signal: AbortSignal): Promise<StoredTask | undefined> {
    return this.#alone(meta.id, async () => (this.#tasks.has(meta.id) ? undefined : this.#keep(meta, content, signal)));
  }

  adopt(meta: TaskMeta, path: string): Promise<StoredTask> {
    return this.#alone(meta.id, async () => {
      const existing = this.#tasks.get(meta.id);
      if (existing?.state === "finished") {
        mustAgree(existing.meta, meta);
        await this.#agreeOnDigest(existing, meta, this.#closing.signal);
        existing.touch();
        await removeQuietly(path);
        return existing;
      }
      if (existing !== undefined) mustBeIdle(existing, []);
      return this.#adopt(meta, path, existing);
    });
  }

  spoolPath(): string {
    return join(this.#layout.spool, randomUUID());
  }

  remove(id: TaskId, options: { readonly ignore?: readonly InUseReason[] } = {}): Promise<void> {
    return this.#alone(id, async () => {
      const task = this.#tasks.get(id);
      if (task === undefined) throw new AnaxError("task.not-found", { taskId: id });
      await this.#services.outside.ask(0);
      mustBeIdle(task, options.ignore ?? []);
      await this.#delete(task, "asked");
    });
  }

  pin(id: TaskId, untilMs: number): Promise<void> {
    return this.#pin(id, untilMs);
  }

  unpin(id: TaskId): Promise<void> {
    return this.#pin(id, undefined);
  }

  async collect(options: CollectOptions = {}): Promise<Collection> {
    if (options.dryRun !== true) await this.#accountant.compare(this.#closing.signal);
    const collection = await this.#collector.collect(options);
    this.#measure();
    return collection;
  }

  async usage(): Promise<StoreUsage> {
    const { heldBytes, reservedBytes, disk } = await this.#collector.room();
    return {
      taskCount: this.#tasks.size,
      storedBytes: heldBytes,
      reservedBytes,
      diskTotalBytes: disk.totalBytes,
      diskFreeBytes: disk.freeBytes,
      inodesTotal: disk.inodesTotal,
      inodesFree: disk.inodesFree,
    };
  }

  askInUse(): Promise<void> {
    return this.#services.outside.ask();
  }

  readonly events: StoreEvents = {
    onPiece: (listen) => listener(this.#pieceListeners, listen),
    onDropped: (listen) => listener(this.#droppedListeners, listen),
    onWanted: (listen) => listener(this.#wantedListeners, listen),
    onRemoved: (listen) => listener(this.#removedListeners, listen),
  };

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#disposed ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#closing.abort(new AnaxError("download.cancelled", { reason: "the piece store is closing" }));
    await Promise.allSettled(this.#changing.values());
    for (const task of this.#tasks.values()) task.shutDown();
    await Promise.allSettled(this.#background);
    this.#flushTouched();
    await this.#services.commits.close();
    await this.#owned.disposeAsync();
  }

  // What an earlier process left

  #load(recovered: readonly RecoveredTask[]): void {
    for (const each of recovered) {
      const task = this.#taskFrom(each);
      if (task !== undefined) this.#list(task);
    }
    this.#measure();
    if (recovered.length > 0) this.#options.log.info("store.opened", { tasks: this.#tasks.size, dir: this.#options.dir });
  }

  #taskFrom({ row, segments, takenBytes }: RecoveredTask): TaskOnDisk | undefined {
    const decoded = decodeRow(row);
    const table = decoded && new PieceTable({ layout: decoded.meta, createdAtMs: row.createdAtMs, parents: decoded.parents });
    const sound = table !== undefined && segments.every(({ segment, records }) => table.loadSegment(segment, records));
    if (decoded === undefined || !sound) {
      this.#forget(row.id);
      return undefined;
    }
    if (row.finishedAtMs !== null) table.holdRecorded();
    const finishedAtMs = row.finishedAtMs !== null && table.held.full ? row.finishedAtMs : undefined;
    const file = this.#fileOf(row.id, finishedAtMs === undefined);
    const { createdAtMs, accessedAtMs, uploadedBytes } = row;
    const pinnedUntilMs = row.pinnedUntilMs ?? undefined;
    const state = { createdAtMs, accessedAtMs, finishedAtMs, uploadedBytes, pinnedUntilMs, takenBytes };
    return new TaskOnDisk({ meta: decoded.meta, table, file, ...state }, this.#services);
  }

  /** A record that makes no sense goes, with its file. */
  #forget(id: string): void {
    this.#options.log.warn("store.record-damaged", { taskId: id });
    this.#services.commits.deleted({ id, takeChanges: () => [], returnChanges: () => undefined });
    this.#inBackground(rm(contentPathOf(this.#layout, id), { force: true }));
  }

  #start(): void {
    const { signal } = this.#closing;
    const turns = new Semaphore({ slots: this.#options.config.verifyParallelMax, waitingMax: this.#tasks.size + 1 });
    for (const task of this.#tasks.values()) if (task.state === "verifying") this.#inBackground(verifyInTurn(task, turns, signal));
    this.#inBackground(this.#collect(signal));
    this.#inBackground(this.#account(signal));
    this.#inBackground(this.#services.outside.ask()); // the sooner something is known, the sooner it is safe to collect
  }

  async #collect(signal: AbortSignal): Promise<void> {
    await this.#collector.run(signal, () => {
      this.#flushTouched();
      this.#measure();
    });
  }

  async #account(signal: AbortSignal): Promise<void> {
    const { clock, config } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(config.accountIntervalMs, signal);
      await this.#accountant.compare(signal);
    }
  }

  #flushTouched(): void {
    for (const task of this.#tasks.values()) task.flushTouched();
  }

  #pin(id: TaskId, untilMs: number | undefined): Promise<void> {
    return this.#alone(id, async () => {
      const task = this.#tasks.get(id);
      if (task === undefined) throw new AnaxError("task.not-found", { taskId: id });
      await task.pin(untilMs);
    });
  }

  // Making and deleting

  async #create(meta: TaskMeta, signal: AbortSignal): Promise<TaskOnDisk> {
    const task = this.#newTask(meta);
    await task.createFile(); // sparse: it takes no space yet
    this.#list(task);
    task.markNew();
    try {
      await this.#reserve(task, signal);
    } catch (error) {
      await this.#delete(task, "failed");
      throw error;
    }
    return task;
  }

  async #keep(meta: TaskMeta, content: Uint8Array, signal: AbortSignal): Promise<TaskOnDisk> {
    const task = this.#newTask(meta);
    task.list();
    try {
      if (!this.#collector.tryReserve(task)) await this.#reserve(task, AbortSignal.any([signal, this.#closing.signal]));
      await task.fill(content);
    } catch (error) {
      await this.#delete(task, "failed");
      throw error;
    }
    this.#tasks.set(task.id, task);
    task.holdAll(content);
    this.#measure();
    return task;
  }

  async #adopt(meta: TaskMeta, path: string, replaced: TaskOnDisk | undefined): Promise<TaskOnDisk> {
    const table = new PieceTable({ layout: checkedLayout(meta), createdAtMs: this.#options.clock.wallMs() });
    const wallMs = (): number => this.#options.clock.wallMs();
    await surveyFile(path, meta, { table, digests: this.#services.digests, buffers: this.#services.buffers, wallMs });
    await this.#collector.admit(meta.contentLength);
    if (replaced !== undefined) {
      mustBeIdle(replaced, []);
      await this.#delete(replaced, "replaced");
    }
    await this.#makeGroup(meta.id);
    await moveFile(path, contentPathOf(this.#layout, meta.id));
    const task = this.#newTask(meta, table);
    this.#list(task);
    this.#measure();
    try {
      await task.markAdopted();
    } catch (error) {
      await this.#delete(task, "failed");
      throw error;
    }
    return task;
  }

  #newTask(meta: TaskMeta, filled?: PieceTable): TaskOnDisk {
    const createdAtMs = this.#options.clock.wallMs();
    const table = filled ?? new PieceTable({ layout: checkedLayout(meta), createdAtMs });
    const state = {
      createdAtMs,
      accessedAtMs: createdAtMs,
      finishedAtMs: undefined,
      uploadedBytes: 0,
      pinnedUntilMs: undefined,
      takenBytes: 0,
    };
    return new TaskOnDisk({ meta, table, file: this.#fileOf(meta.id, true), ...state }, this.#services);
  }

  #list(task: TaskOnDisk): void {
    this.#tasks.set(task.id, task);
    task.list();
  }

  #fileOf(id: string, writable: boolean): ContentFile {
    return new ContentFile({ path: contentPathOf(this.#layout, id), open: this.#services.files, writable });
  }

  async #makeGroup(id: string): Promise<void> {
    try {
      await mkdir(join(this.#layout.tasks, groupOf(id)), { recursive: true });
    } catch (error) {
      throw diskErrorOf(error, { path: dirname(contentPathOf(this.#layout, id)) });
    }
  }

  async #reserve(task: TaskOnDisk, signal: AbortSignal): Promise<void> {
    await this.#collector.reserve(task, signal);
    this.#measure();
  }

  async #evict(victim: Victim): Promise<boolean> {
    const task = this.#tasks.get(victim.id);
    const idle = task !== undefined && task.accessedAtMs === victim.accessedAtMs && task.inUse.length === 0;
    // Somebody who is about to open it waits for our turn to end, so we must not wait for him.
    const goes = idle && !this.#changing.has(victim.id);
    if (goes) await this.#alone(victim.id, () => this.#delete(task, victim.reason));
    return goes;
  }

  /** Somebody took its file away or cut it. Tells whether the task goes; one that is in use ends by itself, when its readers see it. */
  async #lose(task: TaskOnDisk): Promise<boolean> {
    if (task.leased || task.working || this.#changing.has(task.id)) return false;
    await this.#alone(task.id, () => this.#delete(task, "lost"));
    return true;
  }

  /** From its first line on the task is gone for everybody. */
  async #delete(task: TaskOnDisk, reason: RemovedReason): Promise<void> {
    const heldBytes = task.heldBytes;
    this.#tasks.delete(task.id);
    task.markRemoved();
    this.#measure();
    this.#metrics.removed.inc({ reason });
    this.#metrics.removedBytes.inc({ reason }, heldBytes);
    try {
      await unlink(task.path);
    } catch (error) {
      // Without a record it is an orphan, which the next start removes.
      if (systemCodeOf(error) !== "ENOENT") this.#options.log.warn("store.unlink-failed", { path: task.path, reason: String(error) });
    }
    for (const listen of this.#removedListeners) listen(task.id);
  }

  /** Finished content must have the digest that is asked for; unfinished content learns it. */
  async #agreeOnDigest(task: TaskOnDisk, meta: TaskMeta, signal: AbortSignal): Promise<void> {
    if (meta.digest === undefined || meta.digest === task.meta.digest) return;
    const expected = parseDigest(meta.digest);
    if (task.state === "finished") {
      const actual = await task.digestOf(expected.algorithm, signal);
      if (actual === expected.value) return;
      throw new AnaxError("task.digest-mismatch", { taskId: task.id, expected: meta.digest, actual: `${expected.algorithm}:${actual}` });
    }
    if (task.meta.digest !== undefined && task.inUse.includes("download")) {
      throw new AnaxError("input.invalid", {
        taskId: task.id,
        reason: "a download with another digest is under way",
        digest: task.meta.digest,
      });
    }
    task.expectDigest(meta.digest);
  }

  /** Runs what makes or deletes a task after what does so already. */
  async #alone<T>(id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#changing.get(id);
    const mine = (async () => {
      await before?.catch(() => undefined); // its own caller sees its failure
      this.#closing.signal.throwIfAborted();
      return work();
    })();
    this.#changing.set(id, mine);
    try {
      return await mine;
    } finally {
      if (this.#changing.get(id) === mine) this.#changing.delete(id);
    }
  }

  #inBackground(work: Promise<void>): void {
    const watched = work
      .catch((error: unknown) => {
        if (!this.#closing.signal.aborted) this.#options.log.warn("store.background-failed", { reason: errorOf(error).message });
      })
      .finally(() => this.#background.delete(watched));
    this.#background.add(watched);
  }

  #onPiece(task: StoredTask, index: number): void {
    for (const listen of this.#pieceListeners) listen(task, index);
  }

  #measure(): void {
    const { heldBytes, reservedBytes } = this.#services.sums;
    this.#metrics.tasks.set(this.#tasks.size);
    this.#metrics.heldBytes.set(heldBytes);
    this.#metrics.reservedBytes.set(reservedBytes);
  }
}

type RemovedReason = Victim["reason"] | "asked" | "failed" | "lost" | "replaced";

function mustAgree(stored: TaskMeta, wanted: TaskMeta): void {
  if (stored.contentLength === wanted.contentLength && stored.pieceLength === wanted.pieceLength) return;
  throw new AnaxError("input.invalid", {
    taskId: stored.id,
    reason: "the task is stored with another length or piece length",
    contentLength: wanted.contentLength,
    storedContentLength: stored.contentLength,
    pieceLength: wanted.pieceLength,
    storedPieceLength: stored.pieceLength,
  });
}

function mustBeIdle(task: TaskOnDisk, ignore: readonly InUseReason[]): void {
  const reasons = task.inUse.filter((reason) => !ignore.includes(reason));
  if (reasons.length === 0) return;
  const { usedBy } = task;
  throw new AnaxError("task.in-use", { taskId: task.id, reasons, ...(usedBy.length > 0 && { usedBy }) });
}

function checkedLayout(meta: TaskMeta): TaskMeta {
  if (pieceCountOf(meta) === meta.pieceCount) return meta;
  throw new AnaxError("input.invalid", {
    taskId: meta.id,
    reason: "the piece count does not follow from the lengths",
    pieceCount: meta.pieceCount,
  });
}

async function verifyInTurn(task: TaskOnDisk, turns: Semaphore, signal: AbortSignal): Promise<void> {
  using _ = await turns.acquire(signal);
  await task.verify();
}

/** Content that is stored already came once more; that its second copy cannot be deleted changes nothing for the caller. */
async function removeQuietly(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined);
}

function listener<T>(listeners: Set<T>, listen: T): Disposable {
  listeners.add(listen);
  return { [Symbol.dispose]: () => void listeners.delete(listen) };
}
