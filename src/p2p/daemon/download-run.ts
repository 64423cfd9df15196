import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf, invariant } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { PeerId, TaskId } from "../model/ids.ts";
import { ownPieceLengthOf, pieceLengthOf } from "../model/piece.ts";
import type { TaskMeta } from "../model/types.ts";
import type { PieceStore, StoredTask } from "../pieces/types.ts";
import type { Sources } from "../source/types.ts";
import type { Announcement, Decision, Report } from "./announcement.ts";
import { parentOfNeighbour, type ParentOffer, type TaskFacts } from "./api.ts";
import type { PeerChannels } from "./channels.ts";
import type { DaemonConfig } from "./config.ts";
import { Conversation, type Announcer } from "./conversation.ts";
import { learnFacts, type Learned } from "./learn-facts.ts";
import { linkedSignal, orAborted, type LinkedSignal } from "./linked-signal.ts";
import { Mailbox } from "./mailbox.ts";
import { distanceBetween, type Place } from "./mesh/distance.ts";
import type { MemoryBudget } from "./memory/budget.ts";
import type { Mesh } from "./mesh/mesh.ts";
import type { Introduction, MeshListener, MeshPart } from "./mesh/types.ts";
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
import { SourceMeter } from "./source-meter.ts";
import { readSource, sourceRequestOf } from "./source-read.ts";
import { SourceShare, type PieceSpan } from "./source-share.ts";
import { START, step, type Happening, type Order, type Phase, type Rules, type SourceReason } from "./step.ts";
import { TaskHold } from "./task-hold.ts";
import { metaOf } from "./task-meta.ts";
import type { TaskStories } from "./task-story.ts";
import { rateClassOf, type RateLimits } from "./rates/types.ts";
import type { PieceClient } from "./transfer/types.ts";
import type { DownloadedPiece, DownloadRequest, DownloadResult, PieceFailure } from "./types.ts";

export interface RunParts {
  readonly store: PieceStore;
  readonly sources: Sources;
  readonly pieceClient: PieceClient;
  readonly schedulers: Announcer;
  readonly channels: PeerChannels;
  readonly hostId: string;
  /** Where this host is. */
  readonly place: () => Place | undefined;
  readonly config: DaemonConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: DaemonMetrics;
  readonly limits: RateLimits;
  readonly memory: MemoryBudget;
  readonly stories: TaskStories;
  /** How content is shared with our own peers; undefined: they are parents like all others. */
  readonly mesh: Pick<Mesh, "join"> | undefined;
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

/** One of ours, as the scheduler names it. */
type Named = Pick<ParentOffer, "peerId" | "hostId" | "ip" | "port" | "downloadPort"> & { readonly distance: number };

const REGISTERS_MAX = 5;
/** Made once: a fresh error for each of many small files is a cost of its own. */
const ENDED = new AnaxError("download.cancelled", { reason: "the download has ended" });

/** Downloads one task, as `step` decides; this class performs what it orders and reports what happens. */
export class DownloadRun {
  readonly #order: RunOrder;
  readonly #parts: RunParts;
  readonly #mail = new Mailbox<Happening>();
  readonly #scope: LinkedSignal;
  readonly #talk: Conversation;
  readonly #work = new Set<Promise<void>>();
  readonly #task: TaskHold;
  readonly #part: MeshPart | undefined;
  readonly #share = new SourceShare();
  readonly #meter: SourceMeter;
  /** Pieces that are being read from the source, so that they are not fetched as well. */
  readonly #claimed = new Set<number>();
  #phase: Phase = START;
  /** Parents that are not ours. */
  #offers: readonly ParentOffer[] = [];
  /** Those of ours that were named last. */
  #introduced: readonly Named[] = [];
  /** Of ours, but they do not trade. */
  readonly #strangers = new Set<string>();
  /** Called when there is somebody to be asked what the task is. */
  #onParent: () => void = () => undefined;
  /** A peer of another kind may take part, and cuts content by its own rule. */
  #foreignPeers = false;
  #facts: TaskFacts = {};
  #useless: readonly Pick<ParentOffer, "peerId">[] = [];
  #fetch: PeerFetch | undefined;
  #learning = false;
  #started = false;
  #readsSource = false;

  constructor(order: RunOrder, parts: RunParts) {
    this.#order = order;
    this.#parts = parts;
    this.#scope = linkedSignal(order.signal);
    this.#meter = new SourceMeter(parts.clock);
    this.#task = new TaskHold({
      store: parts.store,
      onPiece: order.onPiece,
      onStored: (stored) => {
        order.onStored(stored);
        parts.schedulers.changed(order.taskId);
      },
    });
    this.#part = parts.mesh?.join(order.taskId, order.peerId, this.#meshListener());
    this.#talk = new Conversation({
      ...parts,
      ...order,
      signal: this.#scope.signal,
      sourceReading: () => (this.#readsSource ? this.#meter.reading : undefined),
      introduce: (announcement) => this.#introduce(announcement),
      onDecision: (decision) => this.#decided(decision),
      onLost: (why) => this.#happened({ on: "scheduler-lost", why }),
      onRefused: (error) => this.#happened({ on: "scheduler-refused", error }),
      tell: (event, fields) => this.#tell(event, fields),
    });
  }

  /** Resolves when the task is here, verified and durable. */
  async run(): Promise<DownloadResult> {
    try {
      const stored = this.#wholeAlready() ?? (await this.#registered());
      await stored.finish(this.#order.signal);
      this.#talk.end(); // the scheduler closes the stream after this
      this.#talk.say(finishedReport(this.#readsSource));
      return { meta: stored.meta, bytesFrom: this.#task.bytesFrom };
    } catch (thrown) {
      const error = errorOf(this.#order.signal.aborted ? this.#order.signal.reason : thrown);
      this.#task.stored?.fail(error);
      // A download that nobody wants any more has not failed: what it holds may be served.
      if (this.#order.signal.aborted) this.#talk.abandon(error);
      else this.#talk.say(failedReport(this.#readsSource, error));
      throw error;
    } finally {
      await this.#close();
    }
  }

  /** All pieces are on disk, and a crash came between the last of them and their verification. */
  #wholeAlready(): StoredTask | undefined {
    const known = this.#parts.store.find(this.#order.taskId);
    if (known === undefined || known.finished.count < known.meta.pieceCount) return undefined;
    this.#task.take(known);
    return known;
  }

  #registered(): Promise<StoredTask> {
    this.#spawn(this.#talk.open(1));
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
        invariant(this.#task.stored !== undefined, "a complete download has a task");
        return this.#task.stored;
      }
      if (order.do === "fail")
        throw order.error instanceof AnaxError ? order.error : new AnaxError(order.error.code, { because: order.error.because });
      this.#perform(order);
    }
  }

  #rules(): Rules {
    const { request, mayReadSource } = this.#order;
    return {
      readsPart: this.#share.isPart,
      disableBackToSource: !mayReadSource(),
      needBackToSource: request.needBackToSource,
      reschedulesMax: this.#parts.config.reschedulesMax,
      registersMax: REGISTERS_MAX,
    };
  }

  #perform(order: Exclude<Order, { do: "finish" | "fail" }>): void {
    switch (order.do) {
      case "register":
        return this.#spawn(this.#talk.open(this.#phase.at === "ended" ? 1 : this.#phase.registered));
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
    this.#talk.end();
    this.#scope.abort(ENDED);
    await this.#fetch?.[Symbol.asyncDispose]();
    await this.#part?.[Symbol.asyncDispose]();
    await Promise.allSettled(this.#work);
    this.#scope[Symbol.dispose]();
    this.#task[Symbol.dispose]();
    this.#parts.schedulers.changed(this.#order.taskId);
  }

  // --- the scheduler

  async #introduce(announcement: Announcement): Promise<readonly Report[] | undefined> {
    const { store } = this.#parts;
    const { taskId, request } = this.#order;
    this.#foreignPeers = !announcement.ours;
    const facts = announcement.ours ? (this.#task.stored ?? store.find(taskId))?.meta : await this.#statForForeign();
    if (facts === undefined && !announcement.ours) {
      const reason = "the source does not say the length, and this scheduler would take that for no content";
      this.#decided({ kind: "source", reason, foreignHosts: true, spans: [] });
      return undefined;
    }
    const register = registerReport(request, facts ?? {});
    return this.#readsSource ? [register, sourceStartedReport("still reading")] : [register];
  }

  /** A Dragonfly scheduler wants to know the length before it says anything; undefined when nobody knows. */
  async #statForForeign(): Promise<TaskMeta | undefined> {
    const { sources } = this.#parts;
    const { taskId, request } = this.#order;
    if (this.#task.stored !== undefined) return this.#task.stored.meta;
    const stat = await sources.stat(sourceRequestOf(request, this.#scope.signal));
    if (stat.contentLength === undefined) return undefined;
    const meta = metaOf(taskId, request, { contentLength: stat.contentLength, responseHeader: stat.responseHeader });
    await this.#open(meta);
    return meta;
  }

  #decided(decision: Decision): void {
    switch (decision.kind) {
      case "parents":
        this.#foreignPeers ||= decision.foreignHosts;
        this.#introduceAll(decision);
        this.#facts = { ...this.#facts, ...definedOf(decision.facts) };
        this.#tell("scheduler.offered", {
          parents: [...decision.parents, ...decision.neighbours].map(({ peerId }) => peerId).join(" "),
          rejections: decision.rejections,
        });
        return this.#happened({ on: "parents" });
      case "source":
        this.#foreignPeers ||= decision.foreignHosts;
        this.#share.set(decision.spans);
        this.#releaseClaims();
        this.#tell("scheduler.says-source", { reason: decision.reason, spans: spansText(decision.spans) });
        return this.#happened({ on: "told-source" });
      case "wait":
        return this.#tell("scheduler.says-wait", { reason: decision.reason });
      case "empty-content":
        // A Dragonfly scheduler keeps the length that the first peer of a task named; the source may have grown since.
        return this.#happened({ on: (this.#task.stored?.meta.contentLength ?? 0) > 0 ? "told-source" : "empty-content" });
    }
  }

  #reschedule(because: "parents-useless" | "no-progress"): void {
    if (this.#talk.state === "opening") return; // whoever answers will name parents
    if (this.#talk.state === "none") {
      if (this.#phase.at !== "source") this.#happened({ on: "parents-useless" });
      return; // who reads the source reads all of it by now
    }
    this.#parts.metrics.reschedules.inc({ because });
    this.#talk.say(rescheduleReport(because === "parents-useless" ? this.#useless : [], because));
  }

  // --- parents

  #useParents(): void {
    if (!this.#started) this.#talk.say(startedReport);
    this.#started = true;
    const { stored } = this.#task;
    if (stored === undefined) return this.#spawn(this.#learn());
    this.#part?.open(stored);
    this.#part?.fetch();
    if (this.#offers.length === 0 && this.#part !== undefined) return this.#alone();
    this.#fetch ??= this.#startFetch(stored);
    this.#fetch.offer(this.#offers);
  }

  /** Our own kind trades with us; the others are parents. */
  #introduceAll({ parents, neighbours, readerKeys }: Extract<Decision, { readonly kind: "parents" }>): void {
    if (this.#part === undefined) {
      this.#offers = [...parents, ...neighbours.map(parentOfNeighbour)];
      return this.#onParent();
    }
    const placed = parents
      .filter(({ ours }) => ours)
      .map((offer) => ({ ...offer, distance: distanceBetween(this.#parts.place(), offer.wire.host?.network) }));
    this.#introduced = [...neighbours, ...placed];
    this.#offers = parents.filter(({ ours }) => !ours);
    for (const peer of this.#introduced) if (this.#strangers.has(peer.peerId)) this.#addParent(peer);
    if (this.#offers.length > 0) this.#onParent();
    this.#part.introduce(
      this.#introduced.map((peer) => ({ ...peer, transferPort: peer.downloadPort })),
      readerKeys,
    );
  }

  #meshListener(): MeshListener {
    return {
      rateClass: rateClassOf(this.#order.request.priority),
      onPiece: (piece, costMs) => this.#gained(piece, costMs),
      onPieceFailed: (failure) => this.#pieceFailed(failure),
      onStranger: (peer) => this.#takeAsParent(peer),
      onAlone: () => this.#alone(),
      onNoProgress: () => this.#happened({ on: "no-progress" }),
      onComplete: () => this.#happened({ on: "complete" }),
      onFailed: (error) => this.#happened({ on: "failed", error }),
    };
  }

  #takeAsParent({ transferPort, ...peer }: Introduction): void {
    this.#strangers.add(peer.peerId);
    this.#addParent({ ...peer, downloadPort: transferPort });
    this.#onParent();
    if (this.#phase.at === "peers") this.#useParents();
  }

  #addParent(peer: Named): void {
    this.#offers = [...this.#offers.filter(({ peerId }) => peerId !== peer.peerId), parentOfNeighbour(peer)];
  }

  get #isAlone(): boolean {
    return (this.#part?.neighbourCount ?? 0) === 0;
  }

  /** No neighbour is left; foreign parents, where there are some, say for themselves when they are of no use. */
  #alone(): void {
    if (this.#phase.at !== "peers" || this.#offers.length > 0 || !this.#isAlone) return;
    this.#useless = this.#introduced;
    this.#happened({ on: "parents-useless" });
  }

  /** Finds out what the task is from those who have it, so that the source need not be asked. */
  async #learn(): Promise<void> {
    if (this.#learning || this.#offers.length + this.#introduced.length === 0) return;
    this.#learning = true;
    try {
      const learned = await this.#ask();
      if (this.#phase.at !== "peers") return;
      if (learned === undefined) {
        const named = [...this.#offers, ...this.#introduced];
        if (named.length === 0) return; // the scheduler took them back: it will name others
        this.#useless = named;
        return this.#happened({ on: "parents-useless" });
      }
      await this.#open(metaOf(this.#order.taskId, this.#order.request, learned));
    } finally {
      this.#learning = false;
    }
    if (this.#phase.at === "peers") this.#useParents();
  }

  /** The first answer counts: of a neighbour, which speaks by itself, or of a foreign parent that is asked. */
  async #ask(): Promise<Learned | undefined> {
    const { signal } = this.#scope;
    if (this.#part === undefined || this.#introduced.length === 0) return this.#askParents();
    const told = orAborted(this.#part.learned(), signal);
    const came = new Promise<undefined>((resolve) => (this.#onParent = () => resolve(undefined)));
    const first = this.#offers.length === 0 ? await Promise.race([told, came]) : undefined;
    if (first !== undefined) return first;
    const elsewhere = (learned: Learned | undefined) => learned ?? (this.#isAlone ? undefined : told);
    return Promise.race([told, this.#askParents().then(elsewhere)]);
  }

  #askParents(): Promise<Learned | undefined> {
    return learnFacts({
      ...this.#parts,
      taskId: this.#order.taskId,
      signal: this.#scope.signal,
      known: () => ({ offers: this.#offers, facts: this.#facts }),
    });
  }

  #startFetch(stored: StoredTask): PeerFetch {
    const { hostId, channels, pieceClient, clock, random, config } = this.#parts;
    return new PeerFetch({
      stored,
      priority: rateClassOf(this.#order.request.priority),
      hostId,
      channels,
      pieceClient,
      clock,
      random,
      config,
      signal: this.#scope.signal,
      isElsewhere: (index) => this.#part?.isRequested(index) ?? false,
      onRequest: (index, asked) => this.#part?.claim(index, asked),
      onPiece: (piece, costMs) => this.#gained(piece, costMs),
      onPieceFailed: (failure) => this.#pieceFailed(failure),
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
    const { store, sources, clock, random, config, limits, memory, metrics } = this.#parts;
    const { taskId, request } = this.#order;
    await this.#fetch?.[Symbol.asyncDispose]();
    if (this.#share.isPart && !(await this.#isLaidOut())) return this.#happened({ on: "part-failed" });
    metrics.backToSource.inc({ because });
    this.#readsSource = true;
    this.#talk.say(sourceStartedReport(because));
    try {
      await readSource({
        taskId,
        request,
        sources,
        store,
        clock,
        random,
        config,
        limits,
        memory,
        signal: this.#scope.signal,
        held: this.#task.stored ?? store.find(taskId),
        onStored: (stored, from) => {
          this.#task.take(stored, from);
          this.#part?.setReading(true);
          this.#part?.open(stored);
          this.#part?.fetch();
        },
        onPiece: (piece, costMs) => this.#gained(piece, costMs),
        pieceLengthOf: (contentLength) => (this.#cutsOwnWay ? ownPieceLengthOf(contentLength) : pieceLengthOf(contentLength)),
        comesFromPeers: (index) => this.#part?.isThere(index) ?? false,
        share: this.#share,
        meter: this.#meter,
        isAlone: () => this.#isAlone,
        isOnItsOwn: () => this.#talk.state === "none",
        onClaim: (index, reading) => this.#claim(index, reading),
        onRequestEnd: () => {
          if (this.#share.isPart) this.#parts.schedulers.changed(taskId); // another part may be waiting
        },
        onConnections: (count) => this.#tell("source.connections", { count: String(count) }),
        onRetry: (error) => this.#tell("source.broken", { code: error.code, reason: error.message }),
        drop: (held, why) => {
          this.#tell("task.dropped", { why });
          return this.#task.drop(held).catch((thrown: unknown) => {
            if (errorOf(thrown).code !== "task.in-use") throw thrown;
            // Somebody has been given a part of what it was: the rest would be of something else.
            throw new AnaxError("source.changed", { taskId, why }, { cause: thrown });
          });
        },
      });
    } catch (thrown) {
      const error = errorOf(thrown);
      if (error.code.startsWith("source.")) this.#talk.say(sourceFailedReport(error));
      if (!error.code.startsWith("source.") || !this.#share.isPart || this.#talk.state !== "open") throw error;
      this.#readsSource = false;
      this.#part?.setReading(false);
      return this.#happened({ on: "part-failed" });
    }
    this.#part?.setReading(false);
    this.#happened({ on: "complete" });
  }

  /** Which bytes a part is can only be said once the layout is known; who has it is among the neighbours. */
  async #isLaidOut(): Promise<boolean> {
    if (this.#task.stored !== undefined) return true;
    const learned = await this.#ask();
    if (learned !== undefined) await this.#open(metaOf(this.#order.taskId, this.#order.request, learned));
    return learned !== undefined;
  }

  #claim(index: number, reading: boolean): void {
    if (reading ? !this.#share.includes(index) : !this.#claimed.delete(index)) return;
    if (reading) this.#claimed.add(index);
    this.#part?.claim(index, reading);
  }

  /** What is no longer this host's to read comes from those who read it now. */
  #releaseClaims(): void {
    for (const index of this.#claimed) {
      if (this.#share.includes(index)) continue;
      this.#claimed.delete(index);
      this.#part?.claim(index, false);
    }
  }

  get #cutsOwnWay(): boolean {
    return this.#part !== undefined && !this.#foreignPeers;
  }

  async #openEmpty(): Promise<void> {
    await this.#open(metaOf(this.#order.taskId, this.#order.request, { contentLength: 0, responseHeader: {} }));
  }

  // --- the task on disk

  async #open(meta: TaskMeta): Promise<void> {
    const stored = await this.#task.open(meta, this.#scope.signal);
    if (stored.finished.count === stored.meta.pieceCount) this.#happened({ on: "complete" });
  }

  #pieceFailed({ index, peerId, error, temporary }: PieceFailure): void {
    this.#parts.metrics.pieceFailures.inc({ code: error.code });
    this.#tell("piece.failed", { piece: String(index), parent: peerId, code: error.code, reason: error.message });
    this.#talk.say(pieceFailedReport({ index, parent: { peerId }, temporary, code: error.code }));
  }

  #gained(piece: DownloadedPiece, costMs: number): void {
    const { metrics, clock } = this.#parts;
    metrics.bytes.inc({ traffic: piece.traffic }, piece.lengthBytes);
    this.#task.gained(piece);
    this.#talk.say(pieceReport(piece, costMs, clock.wallMs()));
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

  /** After the end: takes leave of the scheduler. */
  farewell(): Promise<void> {
    return this.#talk.farewell();
  }
}

const spansText = (spans: readonly PieceSpan[]): string => spans.map(({ first, end }) => `${first}-${end - 1}`).join(" ");

const definedOf = (facts: TaskFacts): TaskFacts => Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
