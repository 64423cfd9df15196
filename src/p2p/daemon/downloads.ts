import { AnaxError, errorOf } from "../../base/errors.ts";
import { Semaphore } from "../../base/limits.ts";
import { contentTaskIdOf, type PeerId, type TaskId } from "../model/ids.ts";
import type { TrafficType } from "../model/types.ts";
import type { StoredTask } from "../pieces/types.ts";
import { DownloadRun, type RunParts } from "./download-run.ts";
import { orAborted } from "./linked-signal.ts";
import { DOWNLOAD_BYTES } from "./memory/amounts.ts";
import type { PeerIds } from "./peer-ids.ts";
import { PieceLog } from "./piece-log.ts";
import type { RunningRecord } from "./resume/running-record.ts";
import { expectDigest } from "./task-digest.ts";
import { taskIdOfRequest } from "./task-meta.ts";
import { isTouched } from "./touched.ts";
import { withoutSecrets } from "./url-secrets.ts";
import type { Download, DownloadedPiece, DownloadRequest, DownloadResult, Downloads } from "./types.ts";

export interface DownloadsParts extends RunParts {
  readonly peerIds: PeerIds;
  readonly isForeign: (task: TaskId) => boolean;
  /** Which downloads run, for the next process. */
  readonly record: RunningRecord;
}

/** What the other services of the daemon ask beyond `Downloads`. */
export interface RunningDownloads extends Downloads, AsyncDisposable {
  /** The task as it is being filled, once it is known; undefined when nobody downloads it. */
  storedOf(task: TaskId): Promise<StoredTask> | undefined;
  /** Its pieces as they arrive; ends with the download. Undefined when nobody downloads it. */
  piecesOf(task: TaskId, signal: AbortSignal): AsyncIterable<DownloadedPiece> | undefined;
  /** As `start`, for a task that was being downloaded when an earlier process died. Whoever starts it as well takes it over: it ends with him. */
  resume(task: TaskId, request: DownloadRequest): Download;
  /** Called whenever a download starts. */
  onStart(listen: (task: TaskId) => void): Disposable;
}

/** All downloads of this daemon: one per task, shared by everybody who wants it. */
export function createDownloads(parts: DownloadsParts): RunningDownloads {
  return new SharedDownloads(parts);
}

/** One download of one task and those who hold it. */
interface Shared {
  readonly taskId: TaskId;
  readonly peerId: PeerId;
  readonly controller: AbortController;
  readonly stored: Promise<StoredTask>;
  readonly result: Promise<DownloadResult>;
  readonly log: PieceLog;
  /** Of the first who allows the source, else of the first: how the source is read. */
  request: DownloadRequest;
  /** Holds it while nobody else does. */
  resumption: Download | undefined;
  holders: number;
  /** Somebody has held it who allows the source. */
  mayReadSource: boolean;
}

/** Made once: a fresh error for each of many small files is a cost of its own. */
const LET_GO = new AnaxError("download.cancelled", { reason: "nobody waits for it any more" });

class SharedDownloads implements RunningDownloads {
  readonly #parts: DownloadsParts;
  readonly #slots: Semaphore;
  readonly #running = new Map<TaskId, Shared>();
  /** Downloads that end: the next one of the same task waits for them, so that never two of them read a source. */
  readonly #ending = new Map<TaskId, Promise<void>>();
  readonly #background = new Set<Promise<void>>();
  #stopped = false;
  readonly #listeners = new Set<(task: TaskId) => void>();

  constructor(parts: DownloadsParts) {
    this.#parts = parts;
    this.#slots = new Semaphore({ slots: parts.config.downloadsMax, waitingMax: parts.config.downloadsWaitingMax });
  }

  taskIdOf(request: DownloadRequest): TaskId {
    return taskIdOfRequest(request);
  }

  start(request: DownloadRequest): Download {
    try {
      if (this.#stopped) throw new AnaxError("daemon.stopping");
      const taskId = taskIdOfRequest(request);
      const known = this.#running.get(taskId) ?? this.#hit(taskId, request);
      if (known === undefined) this.#parts.record.note(taskId, request);
      const shared = known ?? this.#begin(taskId, request);
      const held = this.#hold(shared, request);
      shared.resumption?.[Symbol.dispose]();
      shared.resumption = undefined;
      return held;
    } catch (thrown) {
      return failedDownload(request, errorOf(thrown));
    }
  }

  resume(task: TaskId, request: DownloadRequest): Download {
    if (this.#stopped) return failedDownload(request, new AnaxError("daemon.stopping"));
    const shared = this.#running.get(task) ?? this.#begin(task, request);
    const held = this.#hold(shared, request);
    if (shared.holders === 1) shared.resumption = held;
    return held;
  }

  storedOf(task: TaskId): Promise<StoredTask> | undefined {
    return this.#running.get(task)?.stored;
  }

  piecesOf(task: TaskId, signal: AbortSignal): AsyncIterable<DownloadedPiece> | undefined {
    return this.#running.get(task)?.log.read(signal);
  }

  onStart(listen: (task: TaskId) => void): Disposable {
    this.#listeners.add(listen);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listen) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    for (const { controller } of this.#running.values()) controller.abort(new AnaxError("daemon.stopping"));
    while (this.#background.size > 0) await Promise.all(this.#background);
  }

  /** Everything is here already. */
  #hit(taskId: TaskId, request: DownloadRequest): Shared | undefined {
    const stored = this.#parts.store.find(taskId);
    if (stored?.state !== "finished" || isTouched(stored)) return undefined;
    const log = new PieceLog(this.#parts.clock);
    for (let index = 0; index < stored.meta.pieceCount; index++) {
      const piece = stored.piece(index);
      if (piece !== undefined) log.add({ ...piece, traffic: "local-peer" });
    }
    log.end();
    this.#parts.metrics.downloads.inc({ outcome: "hit" });
    this.#parts.metrics.bytes.inc({ traffic: "local-peer" }, stored.meta.contentLength);
    this.#parts.stories.tell(taskId, "download.hit");
    const bytesFrom: Record<TrafficType, number> = { "back-to-source": 0, "remote-peer": 0, "local-peer": stored.meta.contentLength };
    const shared: Shared = {
      taskId,
      peerId: this.#parts.peerIds.of(taskId),
      controller: new AbortController(),
      stored: Promise.resolve(stored),
      result: Promise.resolve({ meta: stored.meta, bytesFrom }),
      log,
      request,
      resumption: undefined,
      holders: 0,
      mayReadSource: false,
    };
    const lease = stored.lease("download");
    shared.controller.signal.addEventListener("abort", () => lease[Symbol.dispose](), { once: true });
    return shared;
  }

  #begin(taskId: TaskId, request: DownloadRequest): Shared {
    const { peerIds, isForeign, stories, metrics } = this.#parts;
    if (isForeign(taskId)) peerIds.forget(taskId);
    const controller = new AbortController();
    const stored = Promise.withResolvers<StoredTask>();
    const result = Promise.withResolvers<DownloadResult>();
    for (const { promise } of [stored, result]) (promise as Promise<unknown>).catch(() => undefined); // each holder hears of it by itself
    const shared: Shared = {
      taskId,
      peerId: peerIds.of(taskId),
      controller,
      stored: stored.promise,
      result: result.promise,
      log: new PieceLog(this.#parts.clock),
      request,
      resumption: undefined,
      holders: 0,
      mayReadSource: false,
    };
    this.#running.set(taskId, shared);
    metrics.downloadsInFlight.inc();
    stories.tell(taskId, "download.started", { url: withoutSecrets(request.url) });
    const onStored = (task: StoredTask): void => {
      const lease = task.lease("download"); // for as long as anybody holds the download, which is longer than it runs
      controller.signal.addEventListener("abort", () => lease[Symbol.dispose](), { once: true });
      stored.resolve(task);
    };
    const before = this.#ending.get(taskId) ?? Promise.resolve();
    const run = before
      .then(() => this.#run(shared, onStored))
      .then(result.resolve, (thrown: unknown) => {
        stored.reject(errorOf(thrown));
        result.reject(errorOf(thrown));
      })
      .finally(() => void (this.#ending.get(taskId) === run && this.#ending.delete(taskId)));
    this.#ending.set(taskId, run);
    this.#track(run);
    for (const listen of this.#listeners) listen(taskId);
    return shared;
  }

  async #run(shared: Shared, onStored: (stored: StoredTask) => void): Promise<DownloadResult> {
    const { taskId, peerId, controller, log } = shared;
    const { metrics, stories, clock, record } = this.#parts;
    const startedMs = clock.nowMs();
    let run: DownloadRun | undefined;
    try {
      using slot = await this.#slots.acquire(controller.signal);
      void slot;
      using memory = await this.#memory(shared);
      void memory;
      await this.#dropTouched(shared);
      run = new DownloadRun(
        {
          taskId,
          peerId,
          get request() {
            return shared.request;
          },
          signal: controller.signal,
          mayReadSource: () => shared.mayReadSource,
          onStored,
          onPiece: (piece) => {
            log.add(piece);
            if (piece.traffic !== "local-peer") record.progressed(taskId);
          },
        },
        this.#parts,
      );
      const result = await run.run();
      record.drop(taskId);
      const ms = String(Math.round(clock.nowMs() - startedMs));
      metrics.downloads.inc({ outcome: "done" });
      stories.tell(taskId, "download.done", {
        ms,
        fromSource: String(result.bytesFrom["back-to-source"]),
        fromPeers: String(result.bytesFrom["remote-peer"]),
      });
      this.#parts.log.info("download.done", { taskId, ms, bytesFrom: result.bytesFrom });
      return result;
    } catch (thrown) {
      const error = errorOf(thrown);
      this.#failed(shared, error);
      // Whoever asks next may expect something else; what somebody expected wrongly must not stay with the task.
      if (error.code === "task.digest-mismatch" || error.code === "source.changed")
        await this.#parts.store.remove(taskId).catch(() => undefined);
      throw thrown;
    } finally {
      log.end();
      metrics.downloadsInFlight.dec();
      if (run !== undefined) this.#track(run.farewell());
    }
  }

  /** What a download takes while it runs. Throws `memory.exhausted`. */
  async #memory({ taskId, controller }: Shared): Promise<Disposable> {
    const { memory, stories } = this.#parts;
    const now = memory.tryReserve(DOWNLOAD_BYTES);
    if (now === undefined) stories.tell(taskId, "download.waits-for-memory");
    return now ?? (await memory.reserve(DOWNLOAD_BYTES, controller.signal));
  }

  /** Content that is not ours any more is fetched anew. Throws `task.in-use` while somebody still reads it. */
  async #dropTouched({ taskId, peerId }: Shared): Promise<void> {
    const { store, stories, log, peerIds } = this.#parts;
    const stored = store.find(taskId);
    if (stored?.state !== "finished" || !isTouched(stored)) return;
    await store.remove(taskId, { ignore: ["hard-link", "container", "mount"] }); // they use what it was
    peerIds.keep(taskId, peerId);
    stories.tell(taskId, "task.touched");
    log.warn("task.touched", { taskId, path: stored.path });
  }

  #failed({ taskId, controller }: Shared, error: AnaxError): void {
    const { metrics, stories, log } = this.#parts;
    this.#running.delete(taskId); // whoever comes now tries anew
    if (error.code !== "daemon.stopping") this.#parts.record.drop(taskId);
    const outcome = controller.signal.aborted ? "cancelled" : "failed";
    metrics.downloads.inc({ outcome });
    stories.tell(taskId, `download.${outcome}`, { code: error.code, reason: error.message });
    if (outcome === "cancelled") return log.info("download.cancelled", { taskId, reason: error.message });
    controller.abort(error); // lets go of what its holders hold
    metrics.failures.inc({ code: error.code });
    log.warn("download.failed", { taskId, code: error.code, reason: error.message });
  }

  #hold(shared: Shared, request: DownloadRequest): Download {
    shared.holders++;
    if (!request.disableBackToSource && !shared.mayReadSource) this.#mayReadSource(shared, request);
    const deadline = this.#parts.clock.deadline(request.timeoutMs);
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      deadline[Symbol.dispose]();
      this.#release(shared, deadline.expired ? deadline.signal.reason : LET_GO);
    };
    deadline.signal.addEventListener("abort", release, { once: true });
    const stored = orAborted(shared.stored, deadline.signal);
    const done = this.#verified(shared, request, deadline.signal);
    for (const promise of [stored, done]) (promise as Promise<unknown>).catch(() => undefined); // a holder may look at one of them only
    return {
      taskId: shared.taskId,
      peerId: shared.peerId,
      stored,
      done,
      pieces: (signal) => shared.log.read(signal),
      [Symbol.dispose]: release,
    };
  }

  /** Whoever wanted it from peers only may have had no credentials for the source. */
  #mayReadSource(shared: Shared, request: DownloadRequest): void {
    shared.mayReadSource = true;
    if (shared.request !== request && this.#ending.has(shared.taskId)) this.#parts.record.note(shared.taskId, request);
    shared.request = request;
  }

  /** The shared result, once this holder's own expectation is met. */
  async #verified(shared: Shared, request: DownloadRequest, signal: AbortSignal): Promise<DownloadResult> {
    const result = await orAborted(shared.result, signal);
    await expectDigest(await shared.stored, request.digest, signal);
    return result;
  }

  #release(shared: Shared, reason: unknown): void {
    if (--shared.holders > 0) return;
    if (this.#running.get(shared.taskId) === shared) this.#running.delete(shared.taskId);
    shared.controller.abort(reason);
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#background.delete(tracked));
    this.#background.add(tracked);
  }
}

function failedDownload(request: DownloadRequest, error: AnaxError): Download {
  const failed = Promise.reject(error);
  failed.catch(() => undefined);
  return {
    taskId: contentTaskIdOf(request.url), // of no task: there is none, but everything has a name
    peerId: "" as PeerId, // nobody takes part in anything
    stored: failed,
    done: failed,
    async *pieces() {},
    [Symbol.dispose]: () => undefined,
  };
}
