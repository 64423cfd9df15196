import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { NormalTaskResponse, type AnnouncePeerResponse } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import type { HostId, PeerId, TaskId } from "../model/ids.ts";
import { wireNeighbourOf, wirePeerOf, wireRejectionsOf } from "./api.ts";
import { Cluster } from "./cluster.ts";
import type { SchedulerConfig } from "./config.ts";
import type { Effect, Event, TriggerFailure } from "./events.ts";
import type { SchedulerMetrics } from "./metrics.ts";
import { REJECTIONS, type Rejections } from "./rules.ts";
import { isOurs, type Peer } from "./state.ts";
import { step } from "./step.ts";
import { Watchers } from "./stream.ts";
import { Warnings } from "./warnings.ts";

/** A stream that decisions go out on. Its owner waits for `end`. */
export interface OpenStream<Message> {
  readonly id: number;
  send(message: Message): void;
  /** Without an error: the conversation is over. */
  end(error?: AnaxError): void;
}

/** Orders a seed to download; resolves when it is done with it. Never rejects. */
export type TriggerSeed = (order: Extract<Effect, { do: "triggerSeed" }>, signal: AbortSignal) => Promise<TriggerFailure | undefined>;

export interface RunnerOptions {
  readonly config: SchedulerConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: SchedulerMetrics;
  readonly triggerSeed: (cluster: Cluster) => TriggerSeed;
}

interface SourceOrder {
  readonly description: string;
  readonly rejections: Rejections;
  /** Empty: all of it. */
  readonly spans: Extract<Effect, { do: "shareSource" }>["spans"];
}

/** Ticks between two updates of the gauges. */
const GAUGE_TICKS = 5;

/** Tells the steps what happened and does what they say. Everything is in memory, so one event is digested before the next. */
export class SchedulerRunner implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly config: SchedulerConfig;
  readonly #options: RunnerOptions;
  /** Streams that end when their server begins to stop. */
  readonly #stops = new Watchers();
  readonly #triggerSeed: TriggerSeed;
  readonly #warnings = new Warnings();
  readonly #stop = new AbortController();
  readonly #peerStreams = new Map<PeerId, OpenStream<AnnouncePeerResponse>>();
  readonly #attachments = new Map<HostId, OpenStream<never>>();
  readonly #triggers = new Set<Promise<void>>();
  /** Registrations whose host has not announced itself yet. */
  readonly #expected = new Map<HostId, Set<() => void>>();
  #expectedCount = 0;
  #streamIds = 0;
  #ticks = 0;
  #timer: Disposable | undefined;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.config = options.config;
    this.cluster = new Cluster(options.config, options.clock.nowMs());
    this.#triggerSeed = options.triggerSeed(this.cluster);
    this.#tickLater();
  }

  /** Milliseconds to add to a time of the state to get wall time. */
  get epochMs(): number {
    return this.#options.clock.wallMs() - this.#options.clock.nowMs();
  }

  /** Takes note of an event. Throws the AnaxError of a report that cannot be true. */
  tell(event: Event): void {
    const startMs = this.#options.clock.nowMs();
    const effects = step(this.cluster, event, startMs);
    this.#options.metrics.stepSeconds.observe((this.#options.clock.nowMs() - startMs) / 1000);
    for (const effect of effects) this.#perform(effect);
    if (event.kind === "hostAnnounced" || event.kind === "hostAttached") this.#arrived(event.host.id);
  }

  /** What a new stream is made with: a fresh number, and who tells of the end. Throws `limit.exceeded` when there are too many. */
  newStream(): { readonly id: number; readonly stops: Watchers } {
    const max = this.config.streamsMax;
    if (this.#peerStreams.size + this.#attachments.size >= max) throw new AnaxError("limit.exceeded", { what: "streams", max });
    return { id: ++this.#streamIds, stops: this.#stops };
  }

  /** From now on the peer is told here; whoever was before is told no more. */
  connectPeer(id: PeerId, stream: OpenStream<AnnouncePeerResponse>): void {
    const before = this.#peerStreams.get(id);
    this.#peerStreams.set(id, stream);
    if (before !== stream) before?.end(replaced());
  }

  disconnectPeer(id: PeerId, stream: OpenStream<AnnouncePeerResponse>): void {
    if (this.#peerStreams.get(id) === stream) this.#peerStreams.delete(id);
    this.tell({ kind: "streamClosed", peerId: id, streamId: stream.id });
  }

  attach(id: HostId, stream: OpenStream<never>): void {
    const before = this.#attachments.get(id);
    this.#attachments.set(id, stream);
    before?.end(replaced());
  }

  detach(id: HostId, stream: OpenStream<never>): void {
    if (this.#attachments.get(id) === stream) this.#attachments.delete(id);
    this.tell({ kind: "hostDetached", hostId: id, sessionId: stream.id });
  }

  /** Resolves when the host is known or will not be soon. Throws `limit.exceeded` when too many wait so. */
  async expectHost(id: HostId, signal: AbortSignal): Promise<void> {
    if (this.cluster.hosts.has(id) || this.config.hostGraceMs === 0) return;
    if (this.#expectedCount >= this.config.registersWaitingMax)
      throw new AnaxError("limit.exceeded", { what: "registrations that wait for their host" });
    const waiters = this.#expected.get(id) ?? new Set();
    this.#expected.set(id, waiters);
    this.#expectedCount++;
    using deadline = this.#options.clock.deadline(this.config.hostGraceMs, signal);
    const { promise, resolve } = Promise.withResolvers<void>();
    deadline.signal.addEventListener("abort", () => resolve(), { once: true });
    waiters.add(resolve);
    await promise;
    this.#expectedCount--;
    waiters.delete(resolve);
    if (waiters.size === 0) this.#expected.delete(id);
    if (!deadline.expired) signal.throwIfAborted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    const reason = new AnaxError("rpc.unavailable", { reason: "the scheduler is stopping" });
    this.#stop.abort(reason);
    for (const stream of [...this.#peerStreams.values(), ...this.#attachments.values()]) stream.end(reason);
    await Promise.all(this.#triggers);
  }

  #arrived(id: HostId): void {
    for (const resolve of this.#expected.get(id) ?? []) resolve();
  }

  #tickLater(): void {
    this.#timer = this.#options.clock.timer(this.config.tickIntervalMs, () => {
      if (this.#stop.signal.aborted) return;
      this.#tickLater();
      this.tell({ kind: "tick" });
      if (this.#ticks++ % GAUGE_TICKS === 0) this.#gauge();
      for (const { event, cause, repeats } of this.#warnings.summary(this.#options.clock.nowMs()))
        this.#options.log.warn("scheduler.repeated", { warning: event, cause, repeats });
    });
  }

  #perform(effect: Effect): void {
    const { metrics } = this.#options;
    switch (effect.do) {
      case "offerParents":
        metrics.decisions.inc({ decision: effect.unasked ? "pushed-parents" : "parents" });
        this.#count(effect.rejections);
        return this.#send(effect.peerId, this.#parentsMessage(effect));
      case "keepWaiting":
        metrics.decisions.inc({ decision: "wait" });
        return this.#count(effect.rejections);
      case "needBackToSource":
        metrics.decisions.inc({ decision: "source" });
        metrics.sourceGrants.inc({ because: effect.because });
        return this.#sendToSource(effect.peerId, { description: effect.because, rejections: effect.rejections, spans: [] });
      case "shareSource":
        metrics.decisions.inc({ decision: "source" });
        return this.#sendToSource(effect.peerId, { description: "a part of it", rejections: {}, spans: effect.spans });
      case "tellToWait":
        return this.#send(effect.peerId, {
          response: { $case: "normalTaskResponse", value: NormalTaskResponse.fromPartial({ waiting: effect.because }) },
        });
      case "passOver":
        return this.#count(effect.rejections);
      case "emptyTask":
        metrics.decisions.inc({ decision: "empty" });
        return this.#send(effect.peerId, { response: { $case: "emptyTaskResponse", value: {} } });
      case "metadataOnly":
        metrics.decisions.inc({ decision: "metadata-only" });
        return this.#send(effect.peerId, { response: { $case: "metadataOnlyResponse", value: {} } });
      case "failPeer":
        metrics.decisions.inc({ decision: "failed" });
        metrics.failures.inc({ code: effect.code });
        return this.#endPeer(effect, new AnaxError(effect.code, effect.details));
      case "closeStream":
        return this.#endPeer(effect);
      case "closeAttachment":
        return this.#endAttachment(effect);
      case "triggerSeed":
        return this.#trigger(effect);
      case "note":
        if (effect.level === "warn" && !this.#warnings.isNews(effect, this.#options.clock.nowMs())) return;
        return this.#options.log[effect.level](effect.event, effect.fields);
    }
  }

  #parentsMessage(effect: Extract<Effect, { do: "offerParents" }>): AnnouncePeerResponse {
    const { cluster } = this;
    const child = cluster.peers.get(effect.peerId);
    const layout = child?.layout ?? child?.task.layout;
    const peersOf = (ids: readonly PeerId[]): Peer[] => ids.map((id) => cluster.peers.get(id)).filter((peer) => peer !== undefined);
    return {
      response: {
        $case: "normalTaskResponse",
        value: {
          candidateParents: peersOf(effect.parents).map((peer) => wirePeerOf(peer, this.epochMs)),
          rejections: wireRejectionsOf(effect.rejections),
          contentLength: layout?.contentLength,
          pieceLength: layout?.pieceLength,
          digest: child?.task.digest,
          neighbours: child === undefined ? [] : peersOf(effect.neighbours).map((peer) => wireNeighbourOf(child, peer)),
          readerKeys: child !== undefined && isOurs(child.host) ? [...child.task.readerKeys] : [],
          foreignHosts: cluster.foreignHosts.size > 0,
          waiting: "",
        },
      },
    };
  }

  #sendToSource(id: PeerId, what: SourceOrder): void {
    const foreignHosts = this.cluster.foreignHosts.size > 0;
    const value = { description: what.description, rejections: wireRejectionsOf(what.rejections), foreignHosts, spans: [...what.spans] };
    this.#send(id, { response: { $case: "needBackToSourceResponse", value } });
  }

  #send(id: PeerId, message: AnnouncePeerResponse): void {
    this.#peerStreams.get(id)?.send(message);
  }

  /** A stream that was replaced meanwhile has another number, and is ended by who replaced it. */
  #endPeer({ peerId, streamId }: { readonly peerId: PeerId; readonly streamId: number }, error?: AnaxError): void {
    const stream = this.#peerStreams.get(peerId);
    if (stream?.id === streamId) stream.end(error);
  }

  #endAttachment({ hostId, sessionId }: { readonly hostId: HostId; readonly sessionId: number }): void {
    const stream = this.#attachments.get(hostId);
    if (stream?.id === sessionId) stream.end();
  }

  #trigger(effect: Extract<Effect, { do: "triggerSeed" }>): void {
    const { taskId, hostId } = effect;
    const max = this.config.triggersMax;
    const run = async (): Promise<void> => {
      const failure =
        this.#triggers.size >= max
          ? { reason: "too many orders under way", source: undefined }
          : await this.#triggerSeed(effect, this.#stop.signal);
      this.#triggerEnded(taskId, hostId, failure);
    };
    const running = run().finally(() => this.#triggers.delete(running));
    this.#triggers.add(running);
  }

  #triggerEnded(taskId: TaskId, hostId: HostId, failure: TriggerFailure | undefined): void {
    this.#options.metrics.seedTriggers.inc({ outcome: failure === undefined ? "done" : "failed" });
    if (this.#stop.signal.aborted) return;
    if (failure !== undefined) this.#options.log.info("scheduler.seed-order-failed", { taskId, hostId, reason: failure.reason });
    this.tell({ kind: "seedTriggerEnded", taskId, hostId, failure });
  }

  #count(rejections: Rejections): void {
    for (const rule of REJECTIONS) {
      const count = rejections[rule];
      if (count !== undefined) this.#options.metrics.rejections.inc({ rule }, count);
    }
  }

  #gauge(): void {
    const { metrics } = this.#options;
    const { hosts, tasks, peers, activeTasks } = this.cluster;
    const byLiveness = { attached: 0, announced: 0, silent: 0 };
    for (const host of hosts.values()) byLiveness[host.liveness.kind]++;
    for (const [liveness, count] of Object.entries(byLiveness)) metrics.hosts.set({ liveness }, count);
    metrics.tasks.set({ active: "yes" }, activeTasks.size);
    metrics.tasks.set({ active: "no" }, tasks.size - activeTasks.size);
    metrics.peers.set(peers.size);
    metrics.waiting.set(activeTasks.values().reduce((sum, task) => sum + task.waiting.size, 0));
  }
}

const replaced = (): AnaxError => new AnaxError("rpc.aborted", { reason: "a newer stream took this one's place" });
