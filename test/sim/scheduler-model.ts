import assert from "node:assert/strict";
import { createRandom, type Random } from "../../src/base/random.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import type { HostId, PeerId, TaskId } from "../../src/p2p/model/ids.ts";
import { Cluster } from "../../src/p2p/scheduler/cluster.ts";
import { SchedulerConfig } from "../../src/p2p/scheduler/config.ts";
import type { Effect, Event, ProgressFacts, StoredFacts, TriggerFailure } from "../../src/p2p/scheduler/events.ts";
import { placeOf } from "../../src/p2p/scheduler/nearness.ts";
import { PieceSet } from "../../src/p2p/scheduler/piece-set.ts";
import { isLive, isReading, type HostFacts } from "../../src/p2p/scheduler/state.ts";
import { step } from "../../src/p2p/scheduler/step.ts";
import { checkRosters } from "./check-rosters.ts";
import { Download, Host } from "../../src/wire/grpc/gen/common/v2/common.ts";

export interface Scenario {
  readonly seed: number;
  readonly daemons: number;
  readonly seeds: number;
  readonly pieces: number;
  /** Hosts that speak only what Dragonfly's daemon speaks. */
  readonly foreign: number;
  readonly crashes: number;
  readonly brokenSeeds: number;
  readonly restarts: number;
  /** How long a restart takes. */
  readonly downMs?: number;
  /** What the source answers; undefined is the content. */
  readonly sourceStatus?: number | undefined;
  /** Pieces in a hundred that a parent fails to give. */
  readonly pieceFailures: number;
}

const TASK = "a".repeat(64) as TaskId;
const PIECE_BYTES = 4 << 20;
/** Of the run; far beyond every deadline of the scheduler. */
const RUN_MS = 150_000;
const SOURCE_PIECE_MS = 60;
const PEER_PIECE_MS = 20;
const GIVE_UP_MS = 3000;
/** Events between two looks at everything. */
const CHECK_EVERY = 7;

/** A daemon reduced to what a scheduler sees of it. */
interface Daemon {
  readonly facts: HostFacts;
  readonly foreign: boolean;
  readonly broken: boolean;
  readonly held: PieceSet;
  alive: boolean;
  diedAtMs: number;
  sessionId: number;
  peer: SimPeer | undefined;
  finished: boolean;
}

interface SimPeer {
  readonly id: PeerId;
  readonly daemon: Daemon;
  readonly order: Download;
  streamId: number;
  parents: readonly PeerId[];
  reading: boolean;
  /** A foreign peer reads an answer only when it has asked for one. */
  asking: boolean;
  progressAtMs: number;
  outcome: "running" | "succeeded" | "failed" | "died";
}

/** A whole cluster in one thread: the real decisions, made-up daemons, one clock. */
export class SchedulerModel {
  readonly clock = new VirtualClock();
  readonly sourcePieces: number[] = [];
  readonly scenario: Scenario;
  /** For looking into a seed that fails. */
  onEffect: ((atMs: number, effect: Effect) => void) | undefined;
  readonly daemons: Daemon[] = [];
  readonly #random: Random;
  readonly #config = SchedulerConfig.parse({});
  #cluster: Cluster;
  #streams = 0;
  #events = 0;
  #down = false;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.#random = createRandom(scenario.seed);
    this.#cluster = new Cluster(this.#config, 0);
    const total = scenario.daemons + scenario.seeds;
    for (let at = 0; at < total; at++) {
      const isSeed = at < scenario.seeds;
      this.daemons.push({
        facts: hostFacts(at, isSeed),
        foreign: !isSeed && at >= total - scenario.foreign,
        broken: at < scenario.brokenSeeds,
        held: new PieceSet(),
        alive: true,
        diedAtMs: Infinity,
        sessionId: 0,
        peer: undefined,
        finished: false,
      });
    }
  }

  async run(): Promise<void> {
    const { scenario } = this;
    for (const daemon of this.daemons) {
      this.#attach(daemon);
      if (!daemon.facts.seed) this.#after(this.#random.below(3000), () => this.#download(daemon, false));
    }
    this.#every(this.#config.tickIntervalMs, () => this.#tell({ kind: "tick" }));
    this.#every(PEER_PIECE_MS, () => this.#fetchAll(false));
    this.#every(SOURCE_PIECE_MS, () => this.#fetchAll(true));
    for (let n = 0; n < scenario.crashes; n++) this.#after(500 + this.#random.below(6000), () => this.#crashOne());
    for (let n = 0; n < scenario.restarts; n++) this.#after(1500 + this.#random.below(5000), () => this.#restart());
    for (let ms = 0; ms < RUN_MS && !this.#quiet(); ms += 5000) await this.clock.advance(5000);
  }

  /** Every download on a machine that lived. */
  outcomes(): readonly { readonly hostId: string; readonly outcome: SimPeer["outcome"] }[] {
    const asked = this.daemons.filter((daemon) => daemon.alive && daemon.peer !== undefined && !daemon.facts.seed);
    return asked.map(({ facts, peer }) => ({ hostId: facts.id, outcome: peer!.outcome })); // filtered above
  }

  #quiet(): boolean {
    const started = this.daemons.every((daemon) => !daemon.alive || daemon.facts.seed || daemon.peer !== undefined);
    return started && this.outcomes().every(({ outcome }) => outcome !== "running");
  }

  #tell(event: Event): void {
    if (this.#down) return;
    const nowMs = this.clock.nowMs();
    const effects = step(this.#cluster, event, nowMs);
    this.#checkReaders();
    if (this.#events++ % CHECK_EVERY === 0) checkRosters(this.#cluster);
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: Effect): void {
    this.onEffect?.(this.clock.nowMs(), effect);
    // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- the others change nothing for these daemons
    switch (effect.do) {
      case "offerParents": {
        const offered = [...effect.parents, ...effect.neighbours];
        this.#checkCounts(effect.peerId, offered.length, effect.rejections);
        this.#checkLiving(offered);
        return this.#answer(effect.peerId, effect.unasked, (peer) => (peer.parents = offered));
      }
      case "keepWaiting":
        return this.#checkCounts(effect.peerId, 0, effect.rejections);
      case "needBackToSource":
        return this.#after(2, () => this.#readSource(effect.peerId));
      case "failPeer":
        return this.#end(effect.peerId, "failed");
      case "triggerSeed":
        return this.#after(5 + this.#random.below(40), () => this.#order(effect.hostId, effect.order));
      default:
        return;
    }
  }

  #attach(daemon: Daemon): void {
    if (!daemon.alive) return;
    if (daemon.foreign) return this.#tell({ kind: "hostAnnounced", host: daemon.facts, intervalMs: 300_000 });
    const sessionId = ++this.#streams;
    daemon.sessionId = sessionId;
    const inventory = daemon.held.count > 0 && daemon.peer !== undefined ? [storedOf(daemon, this.scenario.pieces)] : [];
    this.#tell({
      kind: "hostAttached",
      host: daemon.facts,
      sessionId,
      instanceId: `${daemon.facts.id}-1`,
      signingKey: undefined,
      inventory,
    });
    this.#every(this.#config.heartbeatIntervalMs, () => {
      if (!daemon.alive || daemon.sessionId !== sessionId) return "stop";
      return this.#tell({
        kind: "heartbeat",
        hostId: daemon.facts.id,
        sessionId,
        host: undefined,
        uploadsInFlight: this.#random.below(4),
        uploadSlots: 4,
        progress: this.#progressOf(daemon),
      });
    });
  }

  /** All that a scheduler hears of the pieces of ours. */
  #progressOf({ peer, held }: Daemon): ProgressFacts[] {
    if (peer?.outcome !== "running" || held.count === 0) return [];
    return [{ peerId: peer.id, layout: layoutOf(this.scenario.pieces), finishedPieces: held.toBytes(this.scenario.pieces) }];
  }

  #download(daemon: Daemon, needBackToSource: boolean): void {
    if (!daemon.alive || daemon.peer !== undefined) return;
    const order = { ...Download.fromPartial({}), url: "http://origin/file", needBackToSource };
    const id = `${daemon.facts.id}-peer` as PeerId;
    daemon.peer = { id, daemon, order, streamId: 0, parents: [], reading: false, asking: true, progressAtMs: 0, outcome: "running" };
    this.#register(daemon.peer);
  }

  #register(peer: SimPeer): void {
    if (!peer.daemon.alive || peer.outcome !== "running") return;
    if (!this.#cluster.hosts.has(peer.daemon.facts.id)) return this.#after(200, () => this.#register(peer));
    peer.streamId = ++this.#streams;
    peer.progressAtMs = this.clock.nowMs();
    peer.asking = true;
    const layout = peer.daemon.foreign ? layoutOf(this.scenario.pieces) : undefined;
    const { id: hostId } = peer.daemon.facts;
    this.#tell({ kind: "peerRegistered", hostId, taskId: TASK, peerId: peer.id, streamId: peer.streamId, order: peer.order, layout });
    // A reader goes on reading whether or not there is a scheduler, and says so to the next one.
    if (peer.reading) this.#tellOf(peer, { kind: "backToSourceStarted", peerId: peer.id, description: "" });
  }

  #answer(id: PeerId, unasked: boolean, use: (peer: SimPeer) => void): void {
    const peer = this.#peer(id);
    if (peer === undefined) return;
    assert.ok(!(unasked && peer.daemon.foreign), "a foreign peer is never told what it did not ask for");
    assert.ok(!(peer.daemon.foreign && !peer.asking), "a foreign peer gets one answer to one question");
    peer.asking = false;
    this.#after(2, () => {
      if (peer.outcome !== "running" || !peer.daemon.alive) return;
      use(peer);
      peer.progressAtMs = this.clock.nowMs();
      this.#tellOf(peer, { kind: "peerStarted", peerId: id });
    });
  }

  #readSource(id: PeerId): void {
    const peer = this.#peer(id);
    if (peer === undefined) return;
    peer.asking = false;
    this.#tellOf(peer, { kind: "backToSourceStarted", peerId: id, description: "" });
    const { sourceStatus } = this.scenario;
    if (sourceStatus !== undefined) {
      this.#tellOf(peer, { kind: "sourcePieceFailed", peerId: id, error: { message: "refused", statusCode: sourceStatus } });
      this.#tellOf(peer, { kind: "peerFailed", peerId: id, description: "refused", readingSource: true });
      peer.outcome = "failed";
      return;
    }
    peer.reading = true;
    if (!peer.daemon.foreign)
      this.#tell({ kind: "stored", hostId: peer.daemon.facts.id, stored: storedOf(peer.daemon, this.scenario.pieces) });
  }

  #order(hostId: HostId, order: Download): void {
    const daemon = this.daemons.find(({ facts }) => facts.id === hostId)!; // orders go to hosts that were announced
    if (!daemon.alive && this.#random.below(2) === 0) return; // into the void
    const failure: TriggerFailure = { reason: "refused", source: undefined };
    if (daemon.broken || !daemon.alive) return this.#tell({ kind: "seedTriggerEnded", taskId: TASK, hostId, failure });
    assert.equal(order.url, "http://origin/file");
    if (daemon.peer?.outcome === "succeeded") return this.#tell({ kind: "seedTriggerEnded", taskId: TASK, hostId, failure: undefined });
    if (daemon.peer !== undefined && daemon.peer.outcome !== "running") daemon.peer = undefined;
    this.#download(daemon, true);
  }

  #fetchAll(fromSource: boolean): void {
    for (const { peer } of this.daemons) {
      if (peer === undefined || peer.outcome !== "running" || !peer.daemon.alive) continue;
      if (fromSource) this.#fetchSource(peer);
      else this.#fetchPeer(peer);
    }
  }

  #fetchSource(peer: SimPeer): void {
    if (!peer.reading) return;
    const index = firstMissing(peer.daemon.held, this.scenario.pieces);
    if (index === undefined) return this.#succeed(peer);
    peer.daemon.held.add(index);
    this.sourcePieces.push(index);
    if (peer.daemon.foreign) this.#tellOf(peer, { kind: "sourcePieceFinished", peerId: peer.id, pieceIndex: index });
  }

  #fetchPeer(peer: SimPeer): void {
    const { held } = peer.daemon;
    const nowMs = this.clock.nowMs();
    if (held.count === this.scenario.pieces) return this.#succeed(peer);
    if (peer.parents.length === 0) return;
    for (const id of this.#random.shuffle(peer.parents)) {
      const parent = this.daemons.find((daemon) => daemon.peer?.id === id);
      if (parent === undefined || !parent.alive || this.#random.below(100) < this.scenario.pieceFailures) {
        if (this.#random.below(10) === 0)
          this.#tellOf(peer, { kind: "pieceFailed", peerId: peer.id, parentId: id, temporary: true, code: "" });
        continue;
      }
      const index = firstMissing(held, this.scenario.pieces, parent.held);
      if (index === undefined) continue;
      held.add(index);
      peer.progressAtMs = nowMs;
      if (!peer.daemon.foreign) return;
      return this.#tellOf(peer, { kind: "pieceFinished", peerId: peer.id, pieceIndex: index, parentId: id });
    }
    const isHeard = peer.streamId > 0;
    if (nowMs - peer.progressAtMs < GIVE_UP_MS || peer.asking || peer.reading || !isHeard) return;
    peer.asking = true;
    const parentIds = peer.parents;
    peer.parents = [];
    this.#tellOf(peer, { kind: "rescheduled", peerId: peer.id, parentIds, description: "no progress" });
  }

  #succeed(peer: SimPeer): void {
    peer.outcome = "succeeded";
    peer.daemon.finished = true;
    // Told by the host's own stream too, which may be up when that of the download is not.
    const { facts, foreign, sessionId } = peer.daemon;
    if (!foreign && this.#cluster.hosts.get(facts.id)?.sessionId === sessionId) {
      this.#tell({ kind: "stored", hostId: facts.id, stored: storedOf(peer.daemon, this.scenario.pieces) });
    }
    this.#tellOf(peer, { kind: "peerFinished", peerId: peer.id });
  }

  #end(id: PeerId, outcome: "failed"): void {
    const peer = this.#peer(id);
    if (peer?.outcome === "running") peer.outcome = outcome;
  }

  /** Half of the machines lose power, and nobody closes their streams; the others crash, and the kernel does. */
  #crashOne(): void {
    const victims = this.daemons.filter((daemon) => daemon.alive && (daemon.peer !== undefined || daemon.facts.seed));
    const reader = victims.find((daemon) => daemon.peer?.reading && daemon.peer.outcome === "running");
    const victim = this.#random.below(2) === 0 ? (reader ?? victims[0]) : victims[this.#random.below(victims.length)];
    if (victim === undefined || victims.length < 3) return;
    victim.alive = false;
    victim.diedAtMs = this.clock.nowMs();
    const powerLoss = !victim.foreign && this.#random.below(2) === 0;
    const { peer, sessionId } = victim;
    if (peer?.outcome === "running") peer.outcome = "died";
    this.#after(powerLoss ? 30_000 : 1, () => {
      if (peer !== undefined) this.#tell({ kind: "streamClosed", peerId: peer.id, streamId: peer.streamId });
      if (!victim.foreign) this.#tell({ kind: "hostDetached", hostId: victim.facts.id, sessionId });
    });
  }

  /** The scheduler forgets everything; hosts come back within a second, downloads as well, in any order. */
  #restart(): void {
    this.#down = true;
    for (const { peer } of this.daemons) if (peer !== undefined) peer.streamId = -1;
    this.#after(this.scenario.downMs ?? 300, () => {
      this.#down = false;
      this.#cluster = new Cluster(this.#config, this.clock.nowMs());
      for (const daemon of this.daemons) {
        this.#after(this.#random.below(700), () => this.#attach(daemon));
        const { peer } = daemon;
        if (peer?.outcome !== "running") continue;
        this.#after(this.#random.below(900), () => this.#register(peer));
      }
    });
  }

  /** Reports of a peer whose stream is down are lost, as are those to a scheduler that does not know it. */
  #tellOf(peer: SimPeer, event: Event): void {
    if (peer.streamId > 0 && this.#cluster.peers.has(peer.id)) this.#tell(event);
  }

  #peer(id: PeerId): SimPeer | undefined {
    const peer = this.daemons.find((daemon) => daemon.peer?.id === id)?.peer;
    return peer?.outcome === "running" && peer.daemon.alive ? peer : undefined;
  }

  #after(ms: number, work: () => void): void {
    this.clock.timer(ms, work);
  }

  #every(ms: number, work: () => "stop" | void): void {
    this.clock.timer(ms, () => {
      if (work() !== "stop") this.#every(ms, work);
    });
  }

  #checkReaders(): void {
    const task = this.#cluster.tasks.get(TASK);
    const readers = [...(task?.readers ?? [])].filter((peer) => isReading(peer) && isLive(peer.host));
    const granted = readers.filter(({ permit }) => permit?.kind === "granted").length;
    const rescued = readers.filter(({ permit }) => permit?.kind === "rescue").length;
    assert.ok(granted <= this.#config.sourceReadersMax, `${granted} peers may read the source`);
    assert.ok(rescued <= this.#config.rescueReadersMax, `${rescued} more peers may read the source`);
  }

  #checkCounts(id: PeerId, parents: number, rejections: Readonly<Record<string, number>>): void {
    const others = this.#cluster.peers.get(id)!.task.peers.size - 1; // effects are about known peers
    const rejected = Object.values(rejections).reduce((sum, count) => sum + count, 0);
    assert.equal(parents + rejected, others, "every other peer is offered or rejected by a rule");
  }

  #checkLiving(parents: readonly PeerId[]): void {
    const patienceMs = this.#config.heartbeatIntervalMs * this.#config.heartbeatMissesMax + this.#config.tickIntervalMs;
    for (const id of parents) {
      const daemon = this.daemons.find(({ peer }) => peer?.id === id)!; // the scheduler knows no others
      if (daemon.foreign) continue;
      assert.ok(
        this.clock.nowMs() - daemon.diedAtMs <= patienceMs,
        `${id} is offered ${this.clock.nowMs() - daemon.diedAtMs} ms after its death`,
      );
    }
  }
}

function hostFacts(at: number, seed: boolean): HostFacts {
  const id = `10.0.0.${at}-node${at}${seed ? "-seed" : ""}` as HostId;
  const announced = { ...Host.fromPartial({}), id, ip: `10.0.0.${at}`, port: 4000, downloadPort: 4005 };
  return { id, hostname: `node${at}`, ip: `10.0.0.${at}`, port: 4000, seed, sharing: true, place: placeOf("", ""), announced };
}

const layoutOf = (pieces: number) => ({ contentLength: pieces * PIECE_BYTES, pieceLength: PIECE_BYTES, pieceCount: pieces });

function storedOf({ peer, held, finished }: Daemon, pieces: number): StoredFacts {
  return {
    taskId: TASK,
    peerId: peer!.id, // only a host with a download has something
    url: peer!.order.url,
    digest: undefined,
    tag: undefined,
    application: undefined,
    layout: layoutOf(pieces),
    sourceRanges: false,
    finishedPieces: held.toBytes(pieces),
    finished,
  };
}

function firstMissing(held: PieceSet, pieces: number, among?: PieceSet): number | undefined {
  for (let index = 0; index < pieces; index++) if (!held.has(index) && (among === undefined || among.has(index))) return index;
  return undefined;
}
