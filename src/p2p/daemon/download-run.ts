import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf, invariant } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { backoffMs } from "../../base/retry.ts";
import type { PeerId, TaskId } from "../model/ids.ts";
import type { TaskMeta, TrafficType } from "../model/types.ts";
import type { PieceStore, StoredTask } from "../pieces/types.ts";
import type { Sources } from "../source/types.ts";
import type { AnnounceOptions, Announcement, Decision, Report } from "./announcement.ts";
import type { ParentOffer, TaskFacts } from "./api.ts";
import type { PeerChannels } from "./channels.ts";
import type { DaemonConfig } from "./config.ts";
import { learnFacts } from "./learn-facts.ts";
import { linkedSignal, orAborted, type LinkedSignal } from "./linked-signal.ts";
import { Mailbox } from "./mailbox.ts";
import type { DaemonMetrics } from "./metrics.ts";
import { PeerFetch } from "./peer-fetch.ts";
import {
  failedReport,
  finishedReport,
  pieceFailedReport,
  pieceReport,
  registerReport,
  rescheduleReport,
  sourceFailedReport,
  sourceStartedReport,
  startedReport,
} from "./reports.ts";
import { readSource, sourceRequestOf } from "./source-read.ts";
import { START, step, type Happening, type Order, type Phase, type Rules, type SourceReason } from "./step.ts";
import { checkFacts, metaOf } from "./task-meta.ts";
import type { TaskStories } from "./task-story.ts";
import type { PieceClient } from "./transfer/types.ts";
import type { DownloadedPiece, DownloadRequest, DownloadResult } from "./types.ts";

/** What a download asks of the schedulers. */
export interface Announcer {
  announce(task: TaskId, peer: PeerId, options: AnnounceOptions): Promise<Announcement | undefined>;
  changed(task: TaskId): void;
}

export interface RunParts {
  readonly store: PieceStore;
  readonly sources: Sources;
  readonly pieceClient: PieceClient;
  readonly schedulers: Announcer;
  readonly channels: PeerChannels;
  readonly hostId: string;
  readonly config: DaemonConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: DaemonMetrics;
  readonly stories: TaskStories;
}

export interface RunOrder {
  readonly taskId: TaskId;
  readonly peerId: PeerId;
  readonly request: DownloadRequest;
  readonly signal: AbortSignal;
  /** False while everybody who wants the download wants it from peers only. */
  readonly mayReadSource: () => boolean;
  readonly onStored: (stored: StoredTask) => void;
  readonly onPiece: (piece: DownloadedPiece) => void;
}

const REGISTERS_MAX = 5;
const REGISTER_BACKOFF = { attemptsMax: REGISTERS_MAX, firstMs: 300, maxMs: 5000 };
const FAREWELL_MS = 2000;

/** Downloads one task, as `step` decides; this class performs what it orders and reports what happens. */
export class DownloadRun {
  readonly #order: RunOrder;
  readonly #parts: RunParts;
  readonly #mail = new Mailbox<Happening>();
  readonly #scope: LinkedSignal;
  /** The stream to the scheduler outlives the work, so that the last report arrives. */
  readonly #talk = new AbortController();
  readonly #work = new Set<Promise<void>>();
  readonly #bytesFrom: Record<TrafficType, number> = { "back-to-source": 0, "remote-peer": 0, "local-peer": 0 };
  #phase: Phase = START;
  #announcement: Announcement | undefined;
  /** Ends when the scheduler has closed the stream, which is after the last report. */
  #heard: Promise<void> = Promise.resolve();
  #offers: readonly ParentOffer[] = [];
  #facts: TaskFacts = {};
  #useless: readonly ParentOffer[] = [];
  #stored: StoredTask | undefined;
  #lease: Disposable | undefined;
  #fetch: PeerFetch | undefined;
  #learning = false;
  #started = false;
  #readsSource = false;

  constructor(order: RunOrder, parts: RunParts) {
    this.#order = order;
    this.#parts = parts;
    this.#scope = linkedSignal(order.signal);
  }

  /** Resolves when the task is here, verified and durable. */
  async run(): Promise<DownloadResult> {
    try {
      const stored = this.#wholeAlready() ?? (await this.#registered());
      await stored.finish(this.#order.signal);
      this.#say(finishedReport(this.#readsSource));
      return { meta: stored.meta, bytesFrom: this.#bytesFrom };
    } catch (thrown) {
      const error = errorOf(this.#order.signal.aborted ? this.#order.signal.reason : thrown);
      this.#stored?.fail(error);
      // A download that nobody wants any more has not failed: what it holds may be served.
      if (this.#order.signal.aborted) this.#talk.abort(error);
      else this.#say(failedReport(this.#readsSource, error));
      throw error;
    } finally {
      await this.#close();
    }
  }

  /** All pieces are on disk, and a crash came between the last of them and their verification. */
  #wholeAlready(): StoredTask | undefined {
    const known = this.#parts.store.find(this.#order.taskId);
    if (known === undefined || known.finished.count < known.meta.pieceCount) return undefined;
    this.#hold(known);
    return known;
  }

  #registered(): Promise<StoredTask> {
    this.#spawn(this.#register(false));
    return this.#steps();
  }

  async #steps(): Promise<StoredTask> {
    for (;;) {
      const happening = await this.#mail.take(this.#scope.signal);
      const { next, order } = step(this.#phase, happening, this.#rules());
      this.#phase = next;
      if (order === undefined) continue;
      this.#tell(`download.${order.do}`, "because" in order ? { because: order.because } : {});
      if (order.do === "finish") {
        invariant(this.#stored !== undefined, "a complete download has a task");
        return this.#stored;
      }
      if (order.do === "fail")
        throw order.error instanceof AnaxError ? order.error : new AnaxError(order.error.code, { because: order.error.because });
      this.#perform(order);
    }
  }

  #rules(): Rules {
    const { request, mayReadSource } = this.#order;
    return {
      disableBackToSource: !mayReadSource(),
      needBackToSource: request.needBackToSource,
      reschedulesMax: this.#parts.config.reschedulesMax,
      registersMax: REGISTERS_MAX,
    };
  }

  #perform(order: Exclude<Order, { do: "finish" | "fail" }>): void {
    switch (order.do) {
      case "register":
        return this.#spawn(this.#register(true));
      case "use-parents":
        return this.#useParents();
      case "read-source":
        return this.#spawn(this.#readSource(order.because));
      case "reschedule":
        return this.#reschedule(order.because);
      case "finish-empty":
        return this.#spawn(this.#openEmpty());
    }
  }

  async #close(): Promise<void> {
    this.#scope.abort(new AnaxError("download.cancelled", { reason: "the download has ended" }));
    await this.#fetch?.[Symbol.asyncDispose]();
    await Promise.allSettled(this.#work);
    this.#scope[Symbol.dispose]();
    this.#lease?.[Symbol.dispose]();
    this.#parts.schedulers.changed(this.#order.taskId);
  }

  // --- the scheduler

  async #register(again: boolean): Promise<void> {
    const { schedulers, config, clock, random } = this.#parts;
    const { taskId, peerId, request } = this.#order;
    const signal = this.#scope.signal;
    if (again) await clock.sleep(backoffMs(this.#phase.at === "ended" ? 1 : this.#phase.registered, REGISTER_BACKOFF, random), signal);
    const announcement = await schedulers.announce(taskId, peerId, {
      signal: this.#talk.signal,
      waitSignal: signal,
      waitMs: again ? config.schedulerReturnMs : undefined,
    });
    if (announcement === undefined) return this.#happened({ on: "scheduler-lost", why: "unreachable" });
    this.#announcement?.[Symbol.dispose]();
    this.#announcement = announcement;
    const facts = announcement.ours ? (this.#stored ?? this.#parts.store.find(taskId))?.meta : await this.#statForForeign();
    this.#say(registerReport(request, facts ?? {}));
    if (this.#readsSource) this.#say(sourceStartedReport("still reading"));
    this.#tell("scheduler.registered", { scheduler: announcement.scheduler });
    this.#heard = this.#hear(announcement);
  }

  /** A Dragonfly scheduler wants to know the length before it says anything. */
  async #statForForeign(): Promise<{ readonly contentLength?: number; readonly pieceLength?: number; readonly pieceCount?: number }> {
    const { sources } = this.#parts;
    const { taskId, request } = this.#order;
    if (this.#stored !== undefined) return this.#stored.meta;
    const stat = await sources.stat(sourceRequestOf(request, this.#scope.signal));
    if (stat.contentLength === undefined) return {};
    const meta = metaOf(taskId, request, { contentLength: stat.contentLength, responseHeader: stat.responseHeader });
    await this.#open(meta);
    return meta;
  }

  async #hear(announcement: Announcement): Promise<void> {
    const { clock, config } = this.#parts;
    using silent = clock.timer(config.decisionMs, () => this.#happened({ on: "scheduler-lost", why: "silent" }));
    const current = (): boolean => this.#announcement === announcement && this.#phase.at !== "ended";
    try {
      for await (const decision of announcement.decisions) {
        silent[Symbol.dispose]();
        if (current()) this.#decided(decision);
      }
      if (current()) this.#happened({ on: "scheduler-lost", why: "broken" });
    } catch (thrown) {
      if (!current() || this.#scope.signal.aborted) return;
      const error = errorOf(thrown);
      this.#tell("scheduler.lost", { code: error.code, reason: error.message });
      this.#happened(BROKEN.has(error.code) ? { on: "scheduler-lost", why: "broken" } : { on: "scheduler-refused", error });
    }
  }

  #decided(decision: Decision): void {
    switch (decision.kind) {
      case "parents":
        this.#offers = decision.parents;
        this.#facts = { ...this.#facts, ...definedOf(decision.facts) };
        this.#tell("scheduler.offered", {
          parents: decision.parents.map(({ peerId }) => peerId).join(" "),
          rejections: decision.rejections,
        });
        return this.#happened({ on: "parents" });
      case "source":
        this.#tell("scheduler.says-source", { reason: decision.reason });
        return this.#happened({ on: "told-source" });
      case "empty-content":
        return this.#happened({ on: "empty-content" });
    }
  }

  #reschedule(because: "parents-useless" | "no-progress"): void {
    this.#parts.metrics.reschedules.inc({ because });
    const parents = because === "parents-useless" ? this.#useless : [];
    if (this.#announcement === undefined) this.#happened({ on: "parents-useless" });
    else this.#say(rescheduleReport(parents, because));
  }

  #say(report: Report): void {
    this.#announcement?.send(report);
  }

  // --- parents

  #useParents(): void {
    if (!this.#started) this.#say(startedReport);
    this.#started = true;
    if (this.#stored === undefined) return this.#spawn(this.#learn());
    this.#fetch ??= this.#startFetch(this.#stored);
    this.#fetch.offer(this.#offers);
  }

  /** Finds out what the task is from those who have it, so that the source need not be asked. */
  async #learn(): Promise<void> {
    if (this.#learning || this.#offers.length === 0) return;
    this.#learning = true;
    try {
      const learned = await learnFacts({
        ...this.#parts,
        taskId: this.#order.taskId,
        signal: this.#scope.signal,
        known: () => ({ offers: this.#offers, facts: this.#facts }),
      });
      if (this.#phase.at !== "peers") return;
      if (learned === undefined) {
        this.#useless = this.#offers;
        return this.#happened({ on: "parents-useless" });
      }
      await this.#open(metaOf(this.#order.taskId, this.#order.request, learned));
    } finally {
      this.#learning = false;
    }
    if (this.#phase.at === "peers") this.#useParents();
  }

  #startFetch(stored: StoredTask): PeerFetch {
    const { hostId, channels, pieceClient, clock, random, config, metrics } = this.#parts;
    return new PeerFetch({
      stored,
      hostId,
      channels,
      pieceClient,
      clock,
      random,
      config,
      signal: this.#scope.signal,
      onPiece: (piece, costMs) => this.#gained(piece, costMs),
      onPieceFailed: ({ index, parent, error, temporary }) => {
        metrics.pieceFailures.inc({ code: error.code });
        this.#tell("piece.failed", { piece: String(index), parent: parent.peerId, code: error.code, reason: error.message });
        this.#say(pieceFailedReport({ index, parent, temporary }));
      },
      onUseless: (parents) => {
        this.#useless = parents;
        this.#happened({ on: "parents-useless" });
      },
      onNoProgress: () => this.#happened({ on: "no-progress" }),
      onComplete: () => this.#happened({ on: "complete" }),
      onFailed: (error) => this.#happened({ on: "failed", error }),
    });
  }

  // --- the source

  async #readSource(because: SourceReason): Promise<void> {
    const { store, sources, clock, random, config, metrics } = this.#parts;
    const { taskId, request } = this.#order;
    await this.#fetch?.[Symbol.asyncDispose]();
    metrics.backToSource.inc({ because });
    this.#readsSource = true;
    this.#say(sourceStartedReport(because));
    try {
      await readSource({
        taskId,
        request,
        sources,
        store,
        clock,
        random,
        config,
        signal: this.#scope.signal,
        held: this.#stored ?? store.find(taskId),
        onStored: (stored) => this.#hold(stored),
        onPiece: (piece, costMs) => this.#gained(piece, costMs),
        onRetry: (error) => this.#tell("source.broken", { code: error.code, reason: error.message }),
        drop: (held, why) => this.#drop(held, why),
      });
    } catch (thrown) {
      const error = errorOf(thrown);
      if (error.code.startsWith("source.")) this.#say(sourceFailedReport(error));
      throw error;
    }
    this.#happened({ on: "complete" });
  }

  async #openEmpty(): Promise<void> {
    await this.#open(metaOf(this.#order.taskId, this.#order.request, { contentLength: 0, responseHeader: {} }));
    if (this.#stored?.meta.pieceCount === 0) this.#happened({ on: "complete" });
  }

  // --- the task on disk

  async #open(meta: TaskMeta): Promise<void> {
    const { store } = this.#parts;
    const known = store.find(meta.id);
    if (known !== undefined && (known.meta.contentLength !== meta.contentLength || known.meta.pieceLength !== meta.pieceLength)) {
      await this.#drop(known, "content-length");
    }
    const stored = await store.open(meta);
    checkFacts(stored.meta, meta);
    this.#hold(stored);
    if (stored.finished.count === stored.meta.pieceCount) this.#happened({ on: "complete" });
  }

  #hold(stored: StoredTask): void {
    if (this.#stored === stored) return;
    this.#lease?.[Symbol.dispose]();
    this.#lease = stored.lease("download");
    this.#stored = stored;
    for (let index = 0; index < stored.meta.pieceCount && stored.finished.count > 0; index++) {
      const piece = stored.piece(index);
      if (piece === undefined) continue;
      this.#bytesFrom["local-peer"] += piece.lengthBytes;
      this.#order.onPiece({ ...piece, traffic: "local-peer" });
    }
    this.#order.onStored(stored);
    this.#parts.schedulers.changed(this.#order.taskId);
  }

  async #drop(held: StoredTask, why: string): Promise<void> {
    this.#tell("task.dropped", { why });
    if (this.#stored === held) {
      this.#lease?.[Symbol.dispose]();
      this.#lease = undefined;
      this.#stored = undefined;
    }
    await this.#parts.store.remove(held.meta.id);
  }

  #gained(piece: DownloadedPiece, costMs: number): void {
    const { metrics, clock } = this.#parts;
    metrics.bytes.inc({ traffic: piece.traffic }, piece.lengthBytes);
    this.#bytesFrom[piece.traffic] += piece.lengthBytes;
    this.#order.onPiece(piece);
    this.#say(pieceReport(piece, costMs, clock.wallMs()));
    if (this.#phase.at === "peers") this.#happened({ on: "piece" });
  }

  // --- plumbing

  #happened(happening: Happening): void {
    if (this.#phase.at !== "ended") this.#mail.put(happening);
  }

  /** Runs beside the steps; its failure is one of the download. */
  #spawn(work: Promise<void>): void {
    const tracked = work
      .catch((thrown: unknown) => this.#happened({ on: "failed", error: errorOf(thrown) }))
      .finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }

  #tell(event: string, fields: Readonly<Record<string, string>>): void {
    this.#parts.stories.tell(this.#order.taskId, event, fields);
    this.#parts.log.debug(event, { taskId: this.#order.taskId, ...fields });
  }

  /** After the last report: lets the scheduler close the stream, for a while. */
  async farewell(): Promise<void> {
    const announcement = this.#announcement;
    if (announcement === undefined) return;
    announcement.close();
    using deadline = this.#parts.clock.deadline(FAREWELL_MS, this.#talk.signal);
    await orAborted(this.#heard, deadline.signal).catch(() => undefined);
    announcement[Symbol.dispose]();
  }
}

/** What the end of a connection looks like; anything else is an answer. */
const BROKEN: ReadonlySet<string> = new Set([
  "rpc.aborted",
  "rpc.cancelled",
  "rpc.deadline-exceeded",
  "rpc.internal",
  "rpc.unavailable",
  "rpc.unknown",
]);

const definedOf = (facts: TaskFacts): TaskFacts => Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
