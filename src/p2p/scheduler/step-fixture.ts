import { Download, Host } from "../../wire/grpc/gen/common/v2/common.ts";
import type { HostId, PeerId, TaskId } from "../model/ids.ts";
import { Cluster } from "./cluster.ts";
import { SchedulerConfig } from "./config.ts";
import type { TracedDecision } from "./decisions.ts";
import type { Effect, Event, ProgressFacts } from "./events.ts";
import { placeOf } from "./nearness.ts";
import type { Moment } from "./rules.ts";
import type { HostFacts, Layout, Peer } from "./state.ts";
import { step } from "./step.ts";

export const TASK = "1".repeat(64) as TaskId;
export const FOUR_PIECES: Layout = { contentLength: 16 << 20, pieceLength: 4 << 20, pieceCount: 4 };

export type Did = Exclude<Effect, { do: "note" | "passOver" }>;

interface Joining {
  readonly foreign?: boolean;
  readonly seed?: boolean;
  readonly sharing?: boolean;
  readonly order?: Partial<Download>;
  readonly layout?: Layout;
  readonly idc?: string;
  readonly location?: string;
  readonly signingKey?: Uint8Array;
  readonly maxRxBandwidth?: number;
  readonly maxTxBandwidth?: number;
  readonly diskUsedPercent?: number;
  readonly task?: TaskId;
}

/** A cluster whose time a test moves by hand. Hosts are `h1`, `h2`…; each has at most one peer, `h1-p`. */
export class Bench {
  readonly cluster: Cluster;
  nowMs = 0;
  #streams = 0;

  constructor(settings: object = {}) {
    this.cluster = new Cluster(SchedulerConfig.parse({ settleMs: "0ms", ...settings }), 0);
  }

  get moment(): Moment {
    return { nowMs: this.nowMs, config: this.cluster.config };
  }

  tell(event: Event): Did[] {
    return step(this.cluster, event, this.nowMs).filter((effect) => effect.do !== "note" && effect.do !== "passOver");
  }

  /** Lets time pass in ticks, with heartbeats of the attached hosts; returns what happened meanwhile. */
  pass(ms: number, silent: readonly string[] = []): Did[] {
    const did: Did[] = [];
    const untilMs = this.nowMs + ms;
    while (this.nowMs < untilMs) {
      this.nowMs = Math.min(untilMs, this.nowMs + 200);
      for (const host of this.cluster.hosts.values()) {
        if (host.sessionId === undefined || silent.includes(host.facts.id)) continue;
        did.push(...this.beat(host.facts.id, 0));
      }
      did.push(...this.tell({ kind: "tick" }));
    }
    return did;
  }

  beat(host: string, uploadsInFlight: number, uploadSlots = 4, progress: readonly ProgressFacts[] = []): Did[] {
    const hostId = host as HostId;
    const sessionId = this.cluster.hosts.get(hostId)!.sessionId!; // tests name hosts that are attached
    return this.tell({ kind: "heartbeat", hostId, sessionId, host: undefined, uploadsInFlight, uploadSlots, progress });
  }

  host(name: string, joining: Joining = {}): Did[] {
    const host = hostFacts(name, joining);
    const { signingKey } = joining;
    if (joining.foreign) return this.tell({ kind: "hostAnnounced", host, intervalMs: undefined });
    return this.tell({
      kind: "hostAttached",
      host,
      sessionId: ++this.#streams,
      instanceId: `${name}-1`,
      signingKey,
      inventory: [],
    });
  }

  /** A host and its registration; returns what the registration led to. */
  join(name: string, joining: Joining = {}): Did[] {
    if (!this.cluster.hosts.has(name as HostId)) this.host(name, joining);
    return this.register(name, joining);
  }

  register(name: string, { order = {}, layout, task = TASK }: Joining = {}): Did[] {
    const ids = { hostId: name as HostId, taskId: task, peerId: idOf(name) };
    const full = { ...Download.fromPartial({ url: "http://origin/file" }), ...order };
    return this.tell({ kind: "peerRegistered", ...ids, streamId: ++this.#streams, order: full, layout });
  }

  /** The host reads the source and has these pieces of it. */
  reads(name: string, pieces: readonly number[] = []): Did[] {
    const did = this.tell({ kind: "backToSourceStarted", peerId: idOf(name), description: "" });
    this.stores(name, []);
    for (const pieceIndex of pieces) did.push(...this.tell({ kind: "sourcePieceFinished", peerId: idOf(name), pieceIndex }));
    return did;
  }

  /** The host has these pieces on disk, or all of them. */
  stores(name: string, pieces: readonly number[] | "all"): Did[] {
    const bits = pieces === "all" ? 0b1111 : pieces.reduce((sum, piece) => sum | (1 << piece), 0);
    const facts = {
      taskId: TASK,
      peerId: idOf(name),
      url: "",
      digest: undefined,
      tag: undefined,
      application: undefined,
      layout: FOUR_PIECES,
      sourceRanges: false,
    };
    return this.tell({
      kind: "stored",
      hostId: name as HostId,
      stored: { ...facts, finishedPieces: Uint8Array.of(bits), finished: pieces === "all" },
    });
  }

  detach(name: string): Did[] {
    const hostId = name as HostId;
    return this.tell({ kind: "hostDetached", hostId, sessionId: this.cluster.hosts.get(hostId)!.sessionId! }); // attached ones
  }

  /** The stream of its download breaks. */
  breaks(name: string): Did[] {
    return this.tell({ kind: "streamClosed", peerId: idOf(name), streamId: this.peer(name).streamId! }); // of downloads that run
  }

  /** What was decided for this peer, `kind because`; with none, for the task as a whole. Oldest first. */
  decided(name?: string): string[] {
    const peerId = name === undefined ? undefined : idOf(name);
    const { trace } = this.cluster;
    const of = (task: TaskId): readonly TracedDecision[] => trace.of(task).filter((one) => one.peerId === peerId);
    return of(name === undefined ? TASK : this.peer(name).task.id).map(({ decision: { kind, because } }) => `${kind} ${because}`);
  }

  /** The last funnel of this peer. */
  funnel(name: string): TracedDecision {
    return this.cluster.trace.of(this.peer(name).task.id).findLast(({ peerId }) => peerId === idOf(name))!; // tests name peers that were decided about
  }

  /** Reports a piece that this parent failed to give. */
  fails(name: string, parent: string, more: { readonly temporary?: boolean; readonly code?: string } = {}): Did[] {
    return this.tell({ kind: "pieceFailed", peerId: idOf(name), parentId: idOf(parent), temporary: false, code: "", ...more });
  }

  peer(name: string): Peer {
    return this.cluster.peers.get(idOf(name))!; // tests name peers that are there
  }
}

export const idOf = (name: string): PeerId => `${name}-p` as PeerId;

/** `h2: parents h1`, `h3: source first`, in the order of effects. */
export function told(effects: readonly Did[]): string[] {
  return effects.map((effect) => {
    switch (effect.do) {
      case "offerParents":
        return `${nameOf(effect.peerId)}: ${effect.unasked ? "pushed" : "parents"} ${namesOf([...effect.parents, ...effect.neighbours])}`;
      case "shareSource":
        return `${nameOf(effect.peerId)}: share ${effect.spans.map(({ first, end }) => `${first}-${end}`).join(" ")}`;
      case "needBackToSource":
        return `${nameOf(effect.peerId)}: source ${effect.because}`;
      case "failPeer":
        return `${nameOf(effect.peerId)}: failed ${effect.code}`;
      case "tellToWait":
        return `${nameOf(effect.peerId)}: told to wait, ${effect.because}`;
      case "triggerSeed":
        return `seed ${effect.hostId}`;
      case "keepWaiting":
        return `${nameOf(effect.peerId)}: wait`;
      case "emptyTask":
      case "metadataOnly":
      case "closeStream":
        return `${nameOf(effect.peerId)}: ${effect.do}`;
      case "closeAttachment":
        return `${effect.hostId}: ${effect.do}`;
    }
  });
}

const nameOf = (id: PeerId): string => id.slice(0, -2);
const namesOf = (ids: readonly PeerId[]): string => ids.map(nameOf).toSorted().join(" ");

export function hostFacts(
  name: string,
  { seed = false, sharing = true, idc = "", location = "", maxRxBandwidth = 0, maxTxBandwidth = 0, diskUsedPercent = 0 }: Joining,
): HostFacts {
  const id = name as HostId;
  const place = placeOf(idc, location);
  return {
    id,
    hostname: name,
    ip: "10.0.0.1",
    port: 4000,
    seed,
    sharing,
    place,
    announced: Host.fromPartial({ id, network: { maxRxBandwidth, maxTxBandwidth }, disk: { usedPercent: diskUsedPercent } }),
  };
}
