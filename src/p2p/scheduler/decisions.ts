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
  /** Undefined for seeds, which are in order and have none. */
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

/** The latest decisions of all tasks. Bounded for each peer, each task and in all: of the tasks, those first decided on are forgotten first. */
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
    let kept = this.#byTask.get(taskId);
    if (kept === undefined) this.#byTask.set(taskId, (kept = { offers: [], others: [] }));
    const list = traced.decision.kind === "parents" ? kept.offers : kept.others;
    const stale = list.length < PER_PEER_MAX ? -1 : staleAt(list, traced.peerId);
    if (stale !== -1) list.splice(stale, 1);
    else if (list.length >= this.#perTaskMax) list.shift();
    else this.#count++;
    list.push(traced);
    if (this.#count > this.#max) this.#makeRoom(taskId, kept);
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

  /** A task at a time; of the one that was just decided on, only what is too much. */
  #makeRoom(taskId: TaskId, kept: Kept): void {
    const oldest = this.#byTask.keys().next().value!; // there is at least this task
    if (oldest !== taskId) return this.forget(oldest);
    if ((kept.offers.length > 1 ? kept.offers : kept.others).shift() !== undefined) this.#count--;
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
  /** Best first; neighbours of ours are drawn, and not compared. */
  readonly considered: readonly { readonly parent: Peer; readonly score: number }[];
  readonly chosen: readonly Peer[];
}

export const NOBODY: Chosen = { relaxation: "none", considered: [], chosen: [] };

export function funnelOf(child: Peer, moment: Moment, rejections: Rejections, what: Chosen): Funnel {
  const { relaxation, considered, chosen } = what;
  return {
    candidates: child.task.peers.size - 1,
    relaxation,
    rejected: isTelling(rejections) ? rejectedOf(child, moment, relaxation) : NONE,
    considered: considered.length === 0 ? NONE : consideredOf(considered),
    chosen: chosen.length === 0 ? NONE : chosen.map(({ id }) => id),
  };
}

/** One for all: most decisions have nothing to name. */
const NONE: readonly never[] = [];

/** Something else than that there are better ones. */
function isTelling(rejections: Rejections): boolean {
  for (const rule in rejections) if (rule !== "outranked") return true;
  return false;
}

function consideredOf(considered: Chosen["considered"]): ConsideredCandidate[] {
  const named: ConsideredCandidate[] = [];
  for (let at = 0; at < considered.length && at < CONSIDERED_MAX; at++) {
    const { parent, score } = considered[at]!; // within the list
    named.push({ peerId: parent.id, hostname: parent.host.facts.hostname, score, role: roleOf(parent) });
  }
  return named;
}

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
