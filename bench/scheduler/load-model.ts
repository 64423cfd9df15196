import { createRandom } from "../../src/base/random.ts";
import type { PeerId, TaskId } from "../../src/p2p/model/ids.ts";
import { Cluster } from "../../src/p2p/scheduler/cluster.ts";
import { SchedulerConfig } from "../../src/p2p/scheduler/config.ts";
import type { Event, ProgressFacts } from "../../src/p2p/scheduler/events.ts";
import { PieceSet } from "../../src/p2p/scheduler/piece-set.ts";
import type { Layout } from "../../src/p2p/scheduler/state.ts";
import { step } from "../../src/p2p/scheduler/step.ts";
import { Download } from "../../src/wire/grpc/gen/common/v2/common.ts";
import type { DecisionTimes } from "./decision-times.ts";
import { factsOf } from "./host-facts.ts";

export interface Load {
  readonly hosts: number;
  readonly tasks: number;
  readonly peersPerTask: number;
  readonly registrationsPerSecond: number;
}

const LAYOUT: Layout = { contentLength: 512 << 20, pieceLength: 1 << 20, pieceCount: 512 };
const HOSTS_PER_RACK = 40;

interface LoadPeer {
  readonly id: PeerId;
  readonly held: PieceSet;
}

/** Hosts that say what a busy cluster says, at its pace; nothing of what they are told is followed but the order to read the source. */
export class LoadModel {
  readonly times: DecisionTimes;
  readonly #load: Load;
  readonly #random = createRandom(1);
  readonly #cluster: Cluster;
  readonly #peers = new Map<PeerId, LoadPeer>();
  readonly #byHost: LoadPeer[][];
  #nowMs = 0;
  #nextTickMs = 0;
  #nextBeat = 0;
  #streams = 0;
  #timedFromMs = 0;

  constructor(load: Load, times: DecisionTimes) {
    this.#load = load;
    this.times = times;
    this.#cluster = new Cluster(SchedulerConfig.parse({ settleMs: "0ms" }), 0);
    this.#byHost = Array.from({ length: load.hosts }, () => []);
  }

  get registrations(): number {
    return this.#peers.size;
  }

  /** Time spent in `step` for each second of the load, from the first registration to the last finish. */
  busyShare(): number {
    return (this.times.totalCpuMs - this.times.cpuMs("hostAttached")) / (this.#nowMs - this.#timedFromMs);
  }

  attachHosts(): void {
    for (let at = 0; at < this.#load.hosts; at++) {
      this.#tell({
        kind: "hostAttached",
        host: factsOf(at, { location: `region|zone${at % 3}|rack${Math.floor(at / HOSTS_PER_RACK)}` }),
        sessionId: at + 1,
        instanceId: "1",
        signingKey: new Uint8Array(32).fill(at),
        inventory: [],
      });
    }
    this.#timedFromMs = this.#nowMs;
  }

  /** Every host wants the first task, and some of them each of the others; all in a random order. */
  registerAll(): void {
    const { hosts, tasks, peersPerTask, registrationsPerSecond } = this.#load;
    const wanted: { readonly host: number; readonly task: number }[] = Array.from({ length: hosts }, (_, host) => ({ host, task: 0 }));
    for (let task = 1; task <= tasks; task++) {
      const first = this.#random.below(hosts);
      for (let n = 0; n < peersPerTask; n++) wanted.push({ host: (first + n * 7) % hosts, task });
    }
    for (const { host, task } of this.#random.shuffle(wanted)) {
      this.#pass(1000 / registrationsPerSecond);
      this.#register(host, task);
    }
  }

  /** Everybody gains a fair share of the pieces in so many seconds. */
  trade(seconds: number): void {
    const perSecond = Math.ceil(LAYOUT.pieceCount / (seconds + 2));
    for (let second = 0; second < seconds; second++) {
      for (const { held } of this.#peers.values()) for (let n = 0; n < perSecond; n++) held.add(this.#random.below(LAYOUT.pieceCount));
      this.#pass(1000);
    }
  }

  finishAll(): void {
    for (const { id } of this.#random.shuffle([...this.#peers.values()])) {
      this.#pass(1000 / this.#load.registrationsPerSecond);
      this.#tell({ kind: "peerFinished", peerId: id });
    }
  }

  #register(host: number, task: number): void {
    const taskId = task.toString(16).padStart(64, "0") as TaskId;
    const { id: hostId } = factsOf(host);
    const peerId = `${hostId}-${crypto.randomUUID()}` as PeerId;
    const peer: LoadPeer = { id: peerId, held: new PieceSet() };
    this.#peers.set(peerId, peer);
    this.#byHost[host]!.push(peer); // one list for each host
    const order = Download.fromPartial({ url: `http://origin.test/${task}`, requestHeader: { Authorization: "Bearer x" } });
    this.#tell({ kind: "peerRegistered", hostId, taskId, peerId, streamId: ++this.#streams, order, layout: undefined });
  }

  /** Time goes by with its heartbeats and ticks. */
  #pass(ms: number): void {
    const untilMs = this.#nowMs + ms;
    const { hosts } = this.#load;
    while (this.#nowMs < untilMs) {
      const nextBeatMs = (this.#nextBeat * 1000) / hosts;
      this.#nowMs = Math.min(untilMs, nextBeatMs, this.#nextTickMs);
      if (this.#nowMs >= this.#nextTickMs) {
        this.#nextTickMs += this.#cluster.config.tickIntervalMs;
        this.#tell({ kind: "tick" });
      }
      if (this.#nowMs >= nextBeatMs) this.#beat(this.#nextBeat++ % hosts);
    }
  }

  #beat(host: number): void {
    const progress = this.#byHost[host]!.filter(({ held }) => held.count > 0).map(({ id, held }): ProgressFacts => {
      return { peerId: id, layout: LAYOUT, finishedPieces: held.toBytes(LAYOUT.pieceCount) };
    });
    const beat = { hostId: factsOf(host).id, sessionId: host + 1, host: undefined, uploadsInFlight: 2, uploadSlots: 4, progress };
    this.#tell({ kind: "heartbeat", ...beat });
  }

  #tell(event: Event): void {
    const effects = this.times.take(event.kind, () => step(this.#cluster, event, this.#nowMs));
    for (const effect of effects)
      if (effect.do === "needBackToSource") this.#tell({ kind: "backToSourceStarted", peerId: effect.peerId, description: "" });
  }
}
