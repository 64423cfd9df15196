import type { SchedulerConfig } from "./config.ts";
import { isActive, isLive, isOurs, isReading, trade, type Block, type Host, type Layout, type Peer } from "./state.ts";

/** When and by which settings a decision is made. */
export interface Moment {
  readonly nowMs: number;
  readonly config: SchedulerConfig;
}

/**
 * What a child without any parent may overlook before it goes to the source, each step including those before:
 * first blocks that have lasted a while, then that a parent is busy.
 */
export type Relaxation = "none" | "blocks" | "busy";
export const RELAXATIONS = ["none", "blocks", "busy"] as const satisfies readonly Relaxation[];

interface Pair {
  readonly child: Peer;
  readonly parent: Peer;
  readonly moment: Moment;
  readonly relaxation: Relaxation;
}

/** What speaks against a parent whoever asks; looked at once, when something about the parent changes. */
const STANDING_RULES = [
  ["left", (parent) => parent.state === "left" || parent.state === "pending"],
  ["failed", (parent) => parent.state === "failed"],
  ["host-silent", (parent) => !isLive(parent.host)],
  ["not-sharing", (parent) => !parent.host.facts.sharing],
  ["empty", (parent) => isEmpty(parent)],
  ["distrusted", (parent, moment) => isDistrusted(parent, moment)],
] as const satisfies readonly (readonly [string, (parent: Peer, moment: Moment) => boolean])[];

/** What speaks against a parent for one child. */
const PAIR_RULES = [
  ["same-host", ({ parent, child }) => parent.host === child.host],
  ["different-content", ({ parent, child }) => differs(child.layout ?? child.task.layout, parent.layout)],
  ["nothing-new", ({ parent, child }) => parent.state === "partial" && child.pieces.missingFrom(parent.pieces) === 0],
  [
    "blocked",
    (pair) => isBlocked(pair.child, pair.parent, pair) || (trade(pair.child, pair.parent) && isBlocked(pair.parent, pair.child, pair)),
  ],
  // Among ours whoever has no slot free says so at once, and the piece is asked of another.
  ["upload-busy", (pair) => pair.relaxation !== "busy" && isBusy(pair.parent.host, pair.moment) && !trade(pair.child, pair.parent)],
] as const satisfies readonly (readonly [string, (pair: Pair) => boolean])[];

/** What speaks against a host as a reader of the source, or as a seed that is ordered to be one; see `source-rules.ts`. */
export const SOURCE_REJECTIONS = [
  "seed-not-sharing",
  "seed-silent",
  "seed-troubled",
  "seed-failed-task",
  "seed-downloads",
  "disk-full",
  "may-not-read",
] as const;
export type SourceRejection = (typeof SOURCE_REJECTIONS)[number];

export type StandingRejection = (typeof STANDING_RULES)[number][0];
export type PairRejection = (typeof PAIR_RULES)[number][0];
/** The metric's label, the field of the log and what `anax explain` shows. `outranked`: it would do, but others are better and enough. */
export type Rejection = StandingRejection | PairRejection | SourceRejection | "outranked";
export const REJECTIONS: readonly Rejection[] = [
  ...STANDING_RULES.map(([name]) => name),
  ...PAIR_RULES.map(([name]) => name),
  "outranked",
  ...SOURCE_REJECTIONS,
];
export type Rejections = Readonly<Partial<Record<Rejection, number>>>;

/** Counts a rejection; what is not there any more is not named. */
export function add(counts: Partial<Record<Rejection, number>>, name: Rejection, by: number): void {
  const sum = (counts[name] ?? 0) + by;
  if (sum > 0) counts[name] = sum;
  else delete counts[name];
}

// Plain loops: these run a hundred times for one registration.

export function standingRejectionOf(parent: Peer, moment: Moment): StandingRejection | undefined {
  for (const rule of STANDING_RULES) if (rule[1](parent, moment)) return rule[0];
  return undefined;
}

/** As a neighbour of one of ours. A trader need not have anything yet: it will. */
export const traderRejectionOf = (peer: Peer, moment: Moment): StandingRejection | undefined => {
  const rejection = standingRejectionOf(peer, moment);
  if (rejection !== "empty" || !isOurs(peer.host) || !isActive(peer)) return rejection;
  return isDistrusted(peer, moment) ? "distrusted" : undefined;
};

export function pairRejectionOf(pair: Pair): PairRejection | undefined {
  for (const rule of PAIR_RULES) if (rule[1](pair)) return rule[0];
  return undefined;
}

export const rejectionOf = (pair: Pair): Rejection | undefined => standingRejectionOf(pair.parent, pair.moment) ?? pairRejectionOf(pair);

/** Rejections that time or load alone will lift: such a parent is still a reason not to go to the source. */
export const isPassing = (rejection: Rejection | undefined): boolean =>
  rejection === undefined || rejection === "blocked" || rejection === "upload-busy";

export const uploadSlotsOf = (host: Host, config: SchedulerConfig): number => host.uploadSlots ?? config.uploadSlotsDefault;

/**
 * Has nothing to give and is not about to; who reads the source is. Who fetches from others is too, but two such could wait for each other,
 * and it is pushed to the others as soon as it has a piece.
 */
const isEmpty = (parent: Peer): boolean => parent.pieces.count === 0 && parent.state !== "succeeded" && !isReading(parent);

function differs(expected: Layout | undefined, actual: Layout | undefined): boolean {
  if (expected === undefined || actual === undefined) return false;
  if (expected.contentLength !== actual.contentLength) return true;
  return expected.contentLength > 0 && expected.pieceLength !== actual.pieceLength;
}

/** Several hosts failed on it lately: then it is not their fault. With many neighbours some may fail on it although it is well. */
function isDistrusted(parent: Peer, { nowMs, config }: Moment): boolean {
  const hosts = Math.max(config.distrustHosts, Math.ceil(parent.neighbours.length / NEIGHBOURS_PER_COMPLAINT));
  if (parent.complaints === undefined || parent.complaints.size < hosts) return false;
  let recent = 0;
  for (const atMs of parent.complaints.values()) if (nowMs - atMs < config.distrustMs) recent++;
  return recent >= hosts;
}

const NEIGHBOURS_PER_COMPLAINT = 4;

/** Percent of the disk, or of its inodes, that is used, as the host says; 0: it does not say. */
export function diskUsedPercentOf(host: Host): number {
  const { usedPercent = 0, inodesUsedPercent = 0 } = host.facts.announced.disk ?? {};
  return Math.max(usedPercent, inodesUsedPercent);
}

/** It could not keep what it reads. */
export const isDiskFull = (host: Host, { config }: Moment): boolean => diskUsedPercentOf(host) >= config.diskFullPercent;

/** For any of its reasons, of which each ends by itself. */
export function isBlocked(child: Peer, parent: Peer, { moment, relaxation }: Pick<Pair, "moment" | "relaxation">): boolean {
  const blocks = child.blocked?.get(parent.id);
  if (blocks === undefined) return false;
  for (const { sinceMs, untilMs } of blocks)
    if (moment.nowMs < untilMs && (relaxation === "none" || moment.nowMs - sinceMs < moment.config.blockRelaxedMs)) return true;
  return false;
}

/** Of what keeps the child from this parent, what does so longest, whether or not it still does. */
export const longestBlockOf = (child: Peer, parent: Peer): Block | undefined =>
  child.blocked?.get(parent.id)?.reduce((longest, each) => (each.untilMs > longest.untilMs ? each : longest));

export const isBusy = (host: Host, { config }: Moment): boolean => host.uploadsInFlight >= uploadSlotsOf(host, config);
