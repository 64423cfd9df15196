import type { HostId, PeerId, TaskId } from "../../src/p2p/model/ids.ts";
import { Cluster } from "../../src/p2p/scheduler/cluster.ts";
import { SchedulerConfig } from "../../src/p2p/scheduler/config.ts";
import type { Effect, Event, ProgressFacts, StoredFacts } from "../../src/p2p/scheduler/events.ts";
import type { Layout } from "../../src/p2p/scheduler/state.ts";
import { step } from "../../src/p2p/scheduler/step.ts";
import { Download } from "../../src/wire/grpc/gen/common/v2/common.ts";
import type { DecisionTimes } from "./decision-times.ts";
import { factsOf } from "./host-facts.ts";

/** How a host and its peer are called. */
export interface PeerWire {
  readonly hostId: HostId;
  readonly peerId: PeerId;
}

const TASK = "b".repeat(64) as TaskId;

/** The real decisions, with a count of what would go over the wire. */
export class SchedulerModel {
  readonly times: DecisionTimes;
  readonly cluster: Cluster;
  readonly layout: Layout;
  messages = { registrations: 0, finishes: 0, heartbeats: 0, answers: 0, pushes: 0 };
  onEffect: ((effect: Effect) => void) | undefined;
  nowMs = 0;
  #streams = 0;

  constructor(layout: Layout, times: DecisionTimes, settings: object = {}) {
    this.layout = layout;
    this.times = times;
    this.cluster = new Cluster(SchedulerConfig.parse({ settleMs: "0ms", ...settings }), 0);
  }

  attach(at: number, seed: boolean): PeerWire {
    const host = factsOf(at, { seed });
    this.#tell({ kind: "hostAttached", host, sessionId: at + 1, instanceId: "1", signingKey: new Uint8Array(32).fill(at), inventory: [] });
    return { hostId: host.id, peerId: `${host.id}-0b7e8b9a-5a26-4f7e-8d0c-9c2b1f6d3a55` as PeerId };
  }

  register({ hostId, peerId }: PeerWire, needBackToSource: boolean): void {
    this.messages.registrations++;
    const order = { ...Download.fromPartial({ url: "http://origin.test/model" }), needBackToSource };
    this.#tell({ kind: "peerRegistered", hostId, taskId: TASK, peerId, streamId: ++this.#streams, order, layout: undefined });
  }

  readsSource({ hostId, peerId }: PeerWire): void {
    this.#tell({ kind: "backToSourceStarted", peerId, description: "" });
    const told = { url: "", digest: undefined, tag: undefined, application: undefined, layout: this.layout, sourceRanges: true };
    const stored: StoredFacts = { taskId: TASK, peerId, ...told, finishedPieces: new Uint8Array(), finished: false };
    this.#tell({ kind: "stored", hostId, stored });
  }

  beat(at: number, { hostId, peerId }: PeerWire, progressed: Pick<ProgressFacts, "finishedPieces" | "source"> | undefined): void {
    this.messages.heartbeats++;
    const progress: ProgressFacts[] = progressed === undefined ? [] : [{ peerId, layout: this.layout, ...progressed }];
    this.#tell({ kind: "heartbeat", hostId, sessionId: at + 1, host: undefined, uploadsInFlight: 4, uploadSlots: 8, progress });
  }

  finish({ peerId }: PeerWire): void {
    this.messages.finishes++;
    this.#tell({ kind: "peerFinished", peerId });
  }

  detach(at: number, { hostId }: PeerWire): void {
    this.#tell({ kind: "hostDetached", hostId, sessionId: at + 1 });
  }

  tick(): void {
    this.#tell({ kind: "tick" });
  }

  #tell(event: Event): void {
    for (const effect of this.times.take(event.kind, () => step(this.cluster, event, this.nowMs))) {
      if (effect.do === "offerParents") this.messages[effect.unasked ? "pushes" : "answers"]++;
      else if (effect.do === "needBackToSource") this.messages.answers++;
      this.onEffect?.(effect);
    }
  }
}
