import { rangesText } from "../slots/slot-text.ts";
import { leaseRanOut, offsetOf, type SeenLease } from "../slots/lease.ts";
import type { OwnedRange } from "../slots/slot-map.ts";
import { takeOver } from "../slots/take-over.ts";
import { claimName, FAILOVER } from "./claim-name.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { followMembership, recordPromotion } from "./roles.ts";
import { hasKeysOf } from "./tell-holding.ts";

/** What is known of other nodes' leases. */
export interface Leases {
  readonly node: ClusterNode;
  readonly lengthMs: number;
  readonly nowMs: () => number;
  seen(id: string): SeenLease | undefined;
  tellNews(): Promise<void>;
}

/** How long a replica leaves it to each that has more of the history. */
const RANK_MS_MIN = 200;
const FORCED_LEASES = 3;

/** A replica takes the place of its primary when that one's lease has run out; the one that has most of the history first. */
export class Candidacy {
  readonly #leases: Leases;
  #sinceMs: number | undefined;
  #complained = "";
  #forcedUntilMs = 0;

  constructor(leases: Leases) {
    this.#leases = leases;
  }

  /** By CLUSTER FAILOVER FORCE: whatever the replica knows of the history; but no slots whose keys it never had. For long enough that the lease of a primary which is dead by now has run out. */
  force(): void {
    this.#forcedUntilMs = this.#leases.nowMs() + FORCED_LEASES * this.#leases.lengthMs;
  }

  get #forced(): boolean {
    return this.#leases.nowMs() < this.#forcedUntilMs;
  }

  /** From time to time. Throws `register.*`: then it begins anew. */
  async consider(): Promise<void> {
    const leases = this.#leases;
    const { node } = leases;
    const seen = node.isReplica ? leases.seen(node.self.primary) : undefined;
    const nowMs = leases.nowMs();
    if (seen === undefined || !leaseRanOut(seen, nowMs) || node.slotsOf(seen.node).length === 0) {
      this.#sinceMs = undefined;
      if (!node.isReplica) this.#forcedUntilMs = 0;
      return;
    }
    this.#complainOf(seen.node);
    if (!node.map.ranges.some((range) => range.owner === seen.node && hasKeysOf(node, range))) return;
    this.#sinceMs ??= nowMs;
    if (!this.#forced && (!this.#mayLead() || nowMs - this.#sinceMs < this.#rank() * Math.max(RANK_MS_MIN, leases.lengthMs / 4))) return;
    const before = node.self.primary;
    node.log.warn("store.cluster-takes-over", { from: before, offset: node.store.replicationOffset });
    const taker = { node: node.id, by: claimName(FAILOVER), nowMs: leases.nowMs, has: (range: OwnedRange) => hasKeysOf(node, range) };
    const outcome = await takeOver(node.register, seen, taker);
    if (outcome === undefined || outcome.kind === "refused") return;
    this.#forcedUntilMs = 0;
    this.#sinceMs = undefined;
    node.learnMap(outcome.map);
    followMembership(node);
    await recordPromotion(node, node.id, before); // it may throw
    void leases.tellNews();
    node.log.info("store.cluster-took-over", { from: before, slots: node.slotsOf(node.id).length });
  }

  /** Slots that the replica cannot take over, each state of affairs once. */
  #complainOf(primary: string): void {
    const { node } = this.#leases;
    const slots = rangesText(node.map.ranges.filter((range) => range.owner === primary && !hasKeysOf(node, range)));
    if (slots !== "" && slots !== this.#complained) node.log.warn("store.cluster-slots-stay", { with: primary, slots });
    this.#complained = slots;
  }

  /** It has all of a history, or had until not long ago. */
  #mayLead(): boolean {
    const { node, lengthMs } = this.#leases;
    const { parameters, replication, knowsHistory, nowMs } = node.store;
    const { link } = replication ?? {};
    if (parameters["cluster-replica-no-failover"] || link === undefined || !knowsHistory || link.state === "sync") return false;
    const factor = parameters["cluster-replica-validity-factor"];
    const ageMs = link.state === "connected" ? nowMs - link.lastHeardMs : nowMs - link.downSinceMs;
    return factor === 0 || ageMs <= parameters["repl-ping-replica-period"] * 1000 + factor * lengthMs;
  }

  /** How many replicas of the same primary come first. */
  #rank(): number {
    const { node } = this.#leases;
    const own = node.store.replicationOffset;
    return node.known.filter(({ id, primary }) => {
      const seen = this.#leases.seen(id);
      if (id === node.id || primary !== node.self.primary || seen === undefined || node.failed.has(id)) return false;
      const offset = offsetOf(seen);
      return offset > own || (offset === own && id < node.id);
    }).length;
  }
}
