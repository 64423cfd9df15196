import type { SchedulerConfig } from "./config.ts";
import { isLive, isOurs, isReading, type Host, type Layout, type Peer } from "./state.ts";

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

interface Case {
  readonly child: Peer;
  readonly parent: Peer;
  readonly moment: Moment;
  readonly relaxation: Relaxation;
}

/** Cheap ones first. The name is the metric's label, the field of the log and what `anax explain` shows. */
const RULES = [
  ["left", ({ parent }) => parent.state === "left" || parent.state === "pending"],
  ["failed", ({ parent }) => parent.state === "failed"],
  ["host-silent", ({ parent }) => !isLive(parent.host)],
  ["not-sharing", ({ parent }) => !parent.host.facts.sharing],
  ["same-host", ({ parent, child }) => parent.host === child.host],
  ["empty", ({ parent, child }) => isEmpty(parent, child)],
  ["different-content", ({ parent, child }) => differs(child.layout ?? child.task.layout, parent.layout)],
  ["nothing-new", ({ parent, child }) => parent.state === "partial" && child.pieces.missingFrom(parent.pieces) === 0],
  ["distrusted", ({ parent, moment }) => isDistrusted(parent, moment)],
  ["blocked", (facts) => isBlocked(facts)],
  ["upload-busy", ({ parent, moment, relaxation }) => relaxation !== "busy" && isBusy(parent.host, moment)],
] as const satisfies readonly (readonly [string, (facts: Case) => boolean])[];

/** `outranked`: nothing speaks against it, but others are better and enough. */
export type Rejection = (typeof RULES)[number][0] | "outranked";
export const REJECTIONS: readonly Rejection[] = [...RULES.map(([name]) => name), "outranked"];
export type Rejections = Readonly<Partial<Record<Rejection, number>>>;

export function rejectionOf(facts: Case): Rejection | undefined {
  return RULES.find(([, rejects]) => rejects(facts))?.[0];
}

/** Rejections that time or load alone will lift: such a parent is still a reason not to go to the source. */
export const isPassing = (rejection: Rejection | undefined): boolean =>
  rejection === undefined || rejection === "blocked" || rejection === "upload-busy";

export const uploadSlotsOf = (host: Host, config: SchedulerConfig): number => host.uploadSlots ?? config.uploadSlotsDefault;

/**
 * Has nothing to give and is not about to. Who reads the source is about to. Who fetches from others is too, but an attached child
 * is told when that bears fruit; a foreign one never is, so it may get such a parent besides a real one.
 */
function isEmpty(parent: Peer, child: Peer): boolean {
  if (parent.pieces.count > 0 || parent.state === "succeeded" || isReading(parent)) return false;
  return isOurs(child.host) || parent.state !== "running";
}

function differs(expected: Layout | undefined, actual: Layout | undefined): boolean {
  if (expected === undefined || actual === undefined) return false;
  if (expected.contentLength !== actual.contentLength) return true;
  return expected.contentLength > 0 && expected.pieceLength !== actual.pieceLength;
}

/** Several hosts failed on it lately: then it is not their fault. */
function isDistrusted(parent: Peer, { nowMs, config }: Moment): boolean {
  if (parent.complaints.size < config.distrustHosts) return false;
  let recent = 0;
  for (const atMs of parent.complaints.values()) if (nowMs - atMs < config.distrustMs) recent++;
  return recent >= config.distrustHosts;
}

function isBlocked({ child, parent, moment, relaxation }: Case): boolean {
  const block = child.blocked.get(parent.id);
  if (block === undefined || moment.nowMs >= block.untilMs) return false;
  return relaxation === "none" || moment.nowMs - block.sinceMs < moment.config.blockRelaxedMs;
}

const isBusy = (host: Host, { config }: Moment): boolean => host.uploadsInFlight >= uploadSlotsOf(host, config);
