import type { HostId, PeerId, TaskId } from "../model/ids.ts";
import {
  diskUsedPercentOf,
  longestBlockOf,
  pairRejectionOf,
  standingRejectionOf,
  traderRejectionOf,
  uploadSlotsOf,
  type Moment,
  type Rejection,
  type Rejections,
  type Relaxation,
} from "./rules.ts";
import { isReading, isWhole, trade, type Host, type Peer, type Task } from "./state.ts";

// What was decided, and how many were left after each rule: kept for a while, within bounds, for `anax explain`.

export type DecisionKind =
  | "parents"
  | "wait"
  | "source"
  | "source-denied"
  /** A seed was ordered to read the source, or none could be; made for the task. */
  | "seed"
  | "seed-denied"
  | "empty"
  | "metadata-only"
  | "failed";

/** What a peer was told last, and what spoke against the rest; each peer keeps one. */
export interface Decision {
  readonly atMs: number;
  readonly kind: DecisionKind;
  /** A word of a closed list; where the kind is `failed`, an error code. */
  readonly because: string;
  readonly rejections: Rejections;
}

export interface Candidate {
  /** Undefined for a host that has no part in the task yet. */
  readonly peerId: PeerId | undefined;
  readonly hostname: string;
}

export interface RejectedCandidate extends Candidate {
  readonly rule: Rejection;
  readonly detail?: string;
  readonly times?: number;
  readonly sinceMs?: number;
  /** When the rule ceases to speak against it by itself. */
  readonly untilMs?: number;
}

export interface ConsideredCandidate extends Candidate {
  /** Of the classic choice; neighbours are drawn. */
  readonly score: number | undefined;
  readonly role: "reader" | "holder" | "part";
}

export interface Funnel {
  /** Before any rule. */
  readonly candidates: number;
  readonly relaxation: Relaxation;
  /** Some of them, so that a person sees whom and why. */
  readonly rejected: readonly RejectedCandidate[];
  readonly considered: readonly ConsideredCandidate[];
  readonly chosen: readonly (PeerId | HostId)[];
}

/** A decision with its funnel. Names instead of peers, which would be kept alive. */
export interface TracedDecision {
  readonly decision: Decision;
  readonly peerId: PeerId | undefined;
  readonly hostname: string;
  readonly funnel: Funnel;
}

/** Of one peer. */
const PER_PEER_MAX = 8;
const REJECTED_MAX = 8;
const CONSIDERED_MAX = 8;
/** Peers looked at for names; of more only the counts are told, since nobody reads on. */
const LOOKED_AT_MAX = 64;

interface Kept {
  /** Offers, of which there are many, do not push out the rest, which is what people ask about. */
  readonly offers: TracedDecision[];
  readonly others: TracedDecision[];
}

/** The latest decisions of all tasks. Bounded for each peer, each task and in all; the tasks decided on longest ago are forgotten first. */
export class DecisionTrace {
  readonly #byTask = new Map<TaskId, Kept>();
  readonly #perTaskMax: number;
  readonly #max: number;
  #count = 0;

  /** `perTaskMax`: of offers, and of everything else. */
  constructor(bounds: { readonly perTaskMax: number; readonly max: number }) {
    this.#perTaskMax = bounds.perTaskMax;
    this.#max = bounds.max;
  }

  get size(): number {
    return this.#count;
  }

  add(taskId: TaskId, traced: TracedDecision): void {
    const kept = this.#byTask.get(taskId) ?? { offers: [], others: [] };
    this.#byTask.delete(taskId); // put last, so that the map stays in order of age
    this.#byTask.set(taskId, kept);
    const list = traced.decision.kind === "parents" ? kept.offers : kept.others;
    const stale = staleAt(list, traced.peerId);
    if (stale !== -1) list.splice(stale, 1);
    else if (list.length >= this.#perTaskMax) list.shift();
    else this.#count++;
    list.push(traced);
    while (this.#count > this.#max) this.#forgetOldest();
  }

  /** Oldest first. */
  of(taskId: TaskId): readonly TracedDecision[] {
    const { offers, others } = this.#byTask.get(taskId) ?? { offers: [], others: [] };
    return [...offers, ...others].toSorted((a, b) => a.decision.atMs - b.decision.atMs);
  }

  /** The last of its kind that was made for the task and no peer. */
  lastForTask(taskId: TaskId): Decision | undefined {
    return this.#byTask.get(taskId)?.others.findLast(({ peerId }) => peerId === undefined)?.decision;
  }

  forget(taskId: TaskId): void {
    const { offers, others } = this.#byTask.get(taskId) ?? { offers: [], others: [] };
    this.#count -= offers.length + others.length;
    this.#byTask.delete(taskId);
  }

  #forgetOldest(): void {
    const [[taskId, kept] = [undefined, undefined]] = this.#byTask;
    if (taskId === undefined) return;
    const dropped = kept.offers.shift() ?? kept.others.shift();
    if (dropped !== undefined) this.#count--;
    if (kept.offers.length + kept.others.length === 0) this.#byTask.delete(taskId);
  }
}

/** Where the oldest decision of a peer is that has as many as are kept of one; -1: it has fewer. */
function staleAt(list: readonly TracedDecision[], peerId: PeerId | undefined): number {
  let oldest = -1;
  let count = 0;
  for (let at = list.length - 1; at >= 0; at--) {
    if (list[at]!.peerId !== peerId) continue; // within the list
    oldest = at;
    if (++count === PER_PEER_MAX) return oldest;
  }
  return -1;
}

/** What is known beside the counts, before the decision changes anything. */
export interface Chosen {
  readonly relaxation: Relaxation;
  /** Best first. */
  readonly considered: readonly { readonly parent: Peer; readonly score?: number }[];
  readonly chosen: readonly Peer[];
}

export const NOBODY: Chosen = { relaxation: "none", considered: [], chosen: [] };

export function funnelOf(child: Peer, moment: Moment, rejections: Rejections, what: Chosen): Funnel {
  const { relaxation, considered, chosen } = what;
  return {
    candidates: child.task.peers.size - 1,
    relaxation,
    rejected: isTelling(rejections) ? rejectedOf(child, moment, relaxation) : [],
    considered: considered.slice(0, CONSIDERED_MAX).map(({ parent, score }) => ({ ...nameOf(parent), score, role: roleOf(parent) })),
    chosen: chosen.map(({ id }) => id),
  };
}

/** Something else than that there are better ones. */
const isTelling = (rejections: Rejections): boolean => Object.keys(rejections).some((rule) => rule !== "outranked");

/** By the same rules as the decision, at the same moment. */
function rejectedOf(child: Peer, moment: Moment, relaxation: Relaxation): RejectedCandidate[] {
  const rejected: RejectedCandidate[] = [];
  let looked = 0;
  for (const parent of child.task.peers.values()) {
    if (looked++ === LOOKED_AT_MAX || rejected.length === REJECTED_MAX) break;
    if (parent === child) continue;
    const standing = trade(child, parent) ? traderRejectionOf(parent, moment) : standingRejectionOf(parent, moment);
    const rule = standing ?? pairRejectionOf({ child, parent, moment, relaxation });
    if (rule !== undefined) rejected.push({ ...nameOf(parent), rule, ...DETAILS[rule]?.(child, parent, moment) });
  }
  return rejected;
}

type Detail = Omit<RejectedCandidate, "peerId" | "hostname" | "rule">;

const DETAILS: Readonly<Partial<Record<Rejection, (child: Peer, parent: Peer, moment: Moment) => Detail>>> = {
  blocked: (child, parent) => {
    const block = longestBlockOf(child, parent) ?? longestBlockOf(parent, child);
    return block === undefined ? {} : { detail: block.reason, times: block.times, sinceMs: block.sinceMs, untilMs: block.untilMs };
  },
  "host-silent": (_, { host: { liveness } }) => (liveness.kind === "silent" ? { detail: liveness.because, sinceMs: liveness.sinceMs } : {}),
  distrusted: (_, { complaints }, { config }) =>
    complaints === undefined ? {} : { times: complaints.size, untilMs: Math.max(...complaints.values()) + config.distrustMs },
  "upload-busy": (_, { host }, { config }) => ({ detail: `${host.uploadsInFlight} of ${uploadSlotsOf(host, config)}` }),
  failed: (_, { updatedAtMs }) => ({ sinceMs: updatedAtMs }),
};

/** Why a host was not sent to the source; `untilMs` where that passes by itself. */
export function passedOver(task: Task, host: Host, rule: Rejection): RejectedCandidate {
  const until =
    rule === "seed-troubled" ? host.troubledUntilMs : rule === "seed-failed-task" ? task.triedSeeds.get(host.facts.id) : undefined;
  return {
    peerId: undefined,
    hostname: host.facts.hostname,
    rule,
    ...(until === undefined ? {} : { untilMs: until }),
    ...(rule === "disk-full" ? { detail: `${Math.floor(diskUsedPercentOf(host))} %` } : {}),
  };
}

const nameOf = ({ id, host }: Peer): Candidate => ({ peerId: id, hostname: host.facts.hostname });
const roleOf = (peer: Peer): ConsideredCandidate["role"] => (isReading(peer) ? "reader" : isWhole(peer) ? "holder" : "part");
