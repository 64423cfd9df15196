import type { ErrorCode, ErrorDetails } from "../../base/errors.ts";
import type { Download } from "../../wire/grpc/gen/common/v2/common.ts";
import { hasProspect } from "./choose.ts";
import type { SourceBecause } from "./events.ts";
import { add, isDiskFull, type Rejection, type Rejections, type SourceRejection } from "./rules.ts";
import { chooseSeed, noteNoSeed, orderSeed } from "./seeds.ts";
import {
  beDue,
  isActive,
  isOurs,
  isReading,
  mayReadSource,
  priorityOf,
  type Host,
  type Peer,
  type Permit,
  type SourceError,
  type Task,
} from "./state.ts";
import { decide, note, touch, warn, type Turn } from "./turn.ts";

// The source is read once in the whole cluster: here is decided by whom.

/** Readers that others can fetch from; one that does not share reads for itself only and is not in the way. */
const liveReaders = (task: Task): number =>
  task.readers
    .values()
    .reduce((count, peer) => count + (isReading(peer) && peer.permit?.kind !== "rescue" && peer.host.facts.sharing ? 1 : 0), 0);

const rescues = (task: Task): number =>
  task.readers.values().reduce((count, peer) => count + (isReading(peer) && peer.permit?.kind === "rescue" ? 1 : 0), 0);

/**
 * Finds a reader for peers that nobody can serve: one of them, or a seed in their name.
 * True when somebody was told to read, so that the others have somebody to wait for.
 */
export function appointReader(turn: Turn, task: Task, hopeless: readonly Peer[]): boolean {
  const { config } = turn.moment;
  const waiting = hopeless.filter((peer) => !refusedByPriority(turn, peer));
  // One that had leave and asks again, over a new stream: nobody else is to read for it.
  const again = waiting.find((peer) => peer.permit !== undefined && mayReadSource(peer));
  if (again?.permit !== undefined) return grant(turn, again, again.permit.kind, "asked-for");
  const first = waiting[0];
  if (first === undefined) return false;
  if (task.trigger !== undefined) return deny(turn, first, "seed-ordered");
  if (liveReaders(task) >= config.sourceReadersMax) return deny(turn, first, "others-read");
  const allowed = waiting.filter(mayReadSource);
  const able = withRoom(allowed, turn);
  const passed: Passed = { "may-not-read": waiting.length - allowed.length, "disk-full": allowed.length - able.length };
  const asked = able.find((peer) => peer.order?.needBackToSource);
  if (asked !== undefined) return grant(turn, asked, "granted", "asked-for", passed);
  if (isSettling(turn)) return deny(turn, first, "settling"); // who has it may be about to come back
  const because: SourceBecause = task.sourceReads === 0 ? "first" : "reader-lost";
  const reader = able.find((peer) => peer.host.facts.seed) ?? mostAdvanced(able) ?? (priorityOf(first) === 3 ? able[0] : undefined);
  if (reader !== undefined) return grant(turn, reader, "granted", because, passed);
  const choice = chooseSeed(turn, task);
  if (choice.seed !== undefined && first.order !== undefined) {
    if (isBeyondBudget(turn, first)) return false;
    orderSeed(turn, task, { ...choice, seed: choice.seed }, first.order);
    return true;
  }
  noteNoSeed(turn, task, choice);
  if (able[0] !== undefined) return grant(turn, able[0], "granted", because, passed);
  for (const peer of waiting) {
    deny(turn, peer, "not-allowed");
    if (waitedMs(turn, peer) >= config.retryLimit * config.retryInterval)
      failPeer(turn, peer, "download.no-source", { reason: "no peer has it, and this download may not read the source" });
  }
  return false;
}

/** Right after the start hosts are still to say what they have. */
const isSettling = ({ cluster, moment: { nowMs, config } }: Turn): boolean => nowMs < cluster.startedAtMs + config.settleMs;

/** Those whose disks can take it; all of them where none can: one may find room yet, or passes it on only. */
function withRoom(peers: readonly Peer[], { moment }: Turn): readonly Peer[] {
  const roomy = peers.filter(({ host }) => !isDiskFull(host, moment));
  return roomy.length === 0 ? peers : roomy;
}

/** A way out for one that has waited or tried in vain although others have the content. False when there is none now. */
export function rescue(turn: Turn, peer: Peer): boolean {
  const { task } = peer;
  const { config } = turn.moment;
  if (!mayReadSource(peer)) return deny(turn, peer, "not-allowed");
  if (liveReaders(task) < config.sourceReadersMax && task.trigger === undefined) return grant(turn, peer, "granted", "no-parent-reachable");
  if (rescues(task) >= config.rescueReadersMax) return deny(turn, peer, "rescues-taken");
  return grant(turn, peer, "rescue", "no-parent-reachable");
}

/** True when one that waits in vain may ask to be rescued: it has for its time, and what it waits for is not about to come. */
export function isRescueDue(turn: Turn, peer: Peer): boolean {
  const { retryBackToSourceLimit, retryInterval } = turn.moment.config;
  if (waitedMs(turn, peer) < retryBackToSourceLimit * retryInterval) return false;
  return peer.task.trigger === undefined && !isSettling(turn) && !turn.cluster.budget.isWaiting(peer.task);
}

export const waitedMs = (turn: Turn, peer: Peer): number => turn.moment.nowMs - (peer.waitingSinceMs ?? turn.moment.nowMs);

/** Takes note of a peer that reads the source without having been told. */
export function admitReader(turn: Turn, peer: Peer): void {
  if (peer.permit === undefined) setPermit(turn, peer, "unasked");
  else peer.permit.progressAtMs = turn.moment.nowMs;
}

/** The source failed somebody. When it would fail all others alike, they are told at once; else another reader is found. */
export function sourceFailed(
  turn: Turn,
  task: Task,
  reader: { readonly order: Download | undefined; readonly host: Host | undefined },
  error: SourceError | undefined,
): void {
  const { nowMs, config } = turn.moment;
  if (reader.host?.facts.seed) {
    task.triedSeeds.set(reader.host.facts.id, nowMs + config.seedTroubleMs);
  }
  task.failure = { atMs: nowMs, reason: error?.message ?? "the reader stopped" };
  note(turn, task, "source-failed", {
    level: "warn",
    fields: { hostId: reader.host?.facts.id, status: error?.statusCode, reason: error?.message },
  });
  touch(turn, task);
  if (error === undefined) return;
  task.sourceFailures++;
  const final = isFinal(error.statusCode);
  if (!final && task.sourceFailures < config.sourceFailuresMax) return;
  const personal = error.statusCode === 401 || error.statusCode === 403;
  for (const peer of task.peers.values()) {
    if (!isActive(peer) || hasProspect(peer, turn.moment)) continue;
    if (personal && credentialsOf(peer.order) !== credentialsOf(reader.order)) continue; // it may be let in
    failPeer(turn, peer, sourceCodeOf(error.statusCode), { status: error.statusCode, reason: error.message });
  }
}

/** What a peer is told that has to give up. */
export const FAILURE_CODES = [
  "download.forbidden",
  "download.no-source",
  "task.not-found",
  "source.bad-status",
  "source.forbidden",
  "source.not-found",
  "source.unauthorized",
  "source.unreachable",
] as const satisfies readonly ErrorCode[];
export type FailureCode = (typeof FAILURE_CODES)[number];

export function failPeer(turn: Turn, peer: Peer, code: FailureCode, details: ErrorDetails): void {
  decide(turn, peer, "failed", { because: code, rejections: peer.lastDecision?.rejections ?? {} });
  note(turn, peer.task, "peer-failed", { peer, level: "warn", fields: { code } });
  const { streamId } = peer;
  endPeer(turn, peer);
  peer.streamId = undefined;
  if (streamId !== undefined) turn.effects.push({ do: "failPeer", peerId: peer.id, streamId, code, details });
  touch(turn, peer.task);
}

/** The download is over without all of the content. What one of ours has by now it keeps, and can give to others. */
export function endPeer(turn: Turn, peer: Peer): void {
  turn.cluster.move(peer, isOurs(peer.host) && peer.pieces.count > 0 ? "pause" : "fail", turn.moment.nowMs);
}

/** One of ours that has pieces already: what it has need not leave the source again. */
function mostAdvanced(peers: readonly Peer[]): Peer | undefined {
  const started = peers.filter((peer) => isOurs(peer.host) && peer.pieces.count > 0);
  return started.reduce<Peer | undefined>(
    (best, peer) => (best === undefined || peer.pieces.count > best.pieces.count ? peer : best),
    undefined,
  );
}

/** Dragonfly's priorities 1 and 2 (common.v2.Priority): forbidden, and only from peers that have it. */
function refusedByPriority(turn: Turn, peer: Peer): boolean {
  const priority = priorityOf(peer);
  if (priority === 1) failPeer(turn, peer, "download.forbidden", { priority });
  if (priority === 2) failPeer(turn, peer, "task.not-found", { priority, reason: "no peer has it, and this priority does not fetch" });
  return priority === 1 || priority === 2;
}

/** Leave to read a part of the source, which the effects of the division name. */
export function admitToPart(turn: Turn, peer: Peer): void {
  if (peer.permit === undefined) setPermit(turn, peer, "granted");
  turn.cluster.stopWaiting(peer);
  decide(turn, peer, "source", { because: "part" satisfies SourceBecause, rejections: peer.lastDecision?.rejections ?? {} });
}

/** Those that wait and were not chosen, by what speaks against them. */
type Passed = Readonly<Partial<Record<SourceRejection, number>>>;

/** False: there is no room for one more. */
// oxlint-disable-next-line max-params -- who, how and why belong together
function grant(turn: Turn, peer: Peer, kind: Permit["kind"], because: SourceBecause, passed: Passed = {}): boolean {
  if (peer.permit === undefined && isBeyondBudget(turn, peer)) return false;
  setPermit(turn, peer, kind);
  turn.cluster.stopWaiting(peer);
  peer.fruitless = 0;
  const rejections: Rejections = peer.lastDecision?.rejections ?? {};
  const turnedDown: Partial<Record<Rejection, number>> = {};
  for (const [rule, count] of Object.entries(passed) as [SourceRejection, number][]) add(turnedDown, rule, count);
  if (Object.keys(turnedDown).length > 0) turn.effects.push({ do: "passOver", rejections: turnedDown });
  decide(turn, peer, "source", { because, rejections: { ...rejections, ...turnedDown } });
  note(turn, peer.task, "source-granted", { peer, fields: { because, kind } });
  turn.effects.push({ do: "needBackToSource", peerId: peer.id, because, rejections });
  return true;
}

/** Why somebody that waits may not read the source now. */
export const SOURCE_DENIALS = [
  "seed-ordered",
  "others-read",
  "settling",
  "not-allowed",
  "rescues-taken",
  "task-budget",
  "cluster-budget",
  "origin-budget",
] as const;
export type SourceDenial = (typeof SOURCE_DENIALS)[number];

/** Kept until it is answered; the same again is no new decision. */
function deny(turn: Turn, peer: Peer, because: SourceDenial): false {
  if (peer.denied === because || peer.waitingSinceMs === undefined) return false;
  peer.denied = because;
  decide(turn, peer, "source-denied", { because, rejections: peer.lastDecision?.rejections ?? {} });
  note(turn, peer.task, "source-denied", { peer, fields: { because } });
  if (because.endsWith("-budget")) warn(turn, peer.task, because, { origin: peer.task.origin });
  return false;
}

/** True when as many as may read the source do; the task then stands in line, unless it has its share. */
function isBeyondBudget(turn: Turn, peer: Peer): boolean {
  const { task } = peer;
  const { budget } = turn.cluster;
  if (task.readers.size >= turn.moment.config.backToSourceCount) {
    deny(turn, peer, "task-budget");
    return true;
  }
  const limit = budget.limitOf(task);
  if (limit === undefined) return false;
  budget.wait(task, limit, turn.moment.nowMs);
  deny(turn, peer, limit);
  return true;
}

function setPermit(turn: Turn, peer: Peer, kind: Permit["kind"]): void {
  const { nowMs } = turn.moment;
  const { task } = peer;
  const origin = peer.permit?.origin ?? task.origin;
  if (peer.permit === undefined) turn.cluster.budget.take(task);
  peer.permit = { kind, grantedAtMs: nowMs, progressAtMs: nowMs, reading: undefined, origin, stalled: false };
  task.readers.add(peer);
  task.roster.note(peer);
  task.sourceReads++;
  trustReader(task, peer.host);
  // The others are to know it, and its key.
  for (const other of task.roster.traders.peers) if (other !== peer) beDue(other);
  turn.cluster.activeTasks.add(task);
  touch(turn, task);
}

/** Reader keys kept per task: what older ones signed has spread, or its readers are gone. */
const READER_KEYS_MAX = 16;

/** What this host signs for the task may be believed from now on. */
export function trustReader(task: Task, { signingKey }: Host): void {
  if (signingKey === undefined) return;
  const known = task.readerKeys.findIndex((key) => Buffer.compare(key, signingKey) === 0);
  if (known !== -1 && known === task.readerKeys.length - 1) return;
  if (known !== -1) task.readerKeys.splice(known, 1);
  task.readerKeys.push(signingKey);
  if (task.readerKeys.length > READER_KEYS_MAX) task.readerKeys.shift();
  task.readerKeysVersion++;
}

/** The source would say the same to everybody: anything of 400 but what asks to try again later. */
const isFinal = (statusCode: number | undefined): boolean =>
  statusCode !== undefined && statusCode >= 400 && statusCode < 500 && ![408, 425, 429].includes(statusCode);

function sourceCodeOf(statusCode: number | undefined): FailureCode {
  if (statusCode === undefined) return "source.unreachable";
  if (statusCode === 401) return "source.unauthorized";
  if (statusCode === 403) return "source.forbidden";
  return statusCode === 404 || statusCode === 410 ? "source.not-found" : "source.bad-status";
}

/** What of a request says who asks. */
function credentialsOf(order: Download | undefined): string {
  const headers = Object.entries(order?.requestHeader ?? {}).filter(([name]) => /^(authorization|proxy-authorization|cookie)$/i.test(name));
  return JSON.stringify([
    headers.toSorted(([a], [b]) => (a < b ? -1 : 1)),
    order?.objectStorage?.accessKeyId,
    order?.objectStorage?.sessionToken,
  ]);
}
