import { hashOf } from "../../base/fnv.ts";
import type { ErrorCode, ErrorDetails } from "../../base/errors.ts";
import type { Download } from "../../wire/grpc/gen/common/v2/common.ts";
import { hasProspect } from "./choose.ts";
import type { SourceBecause } from "./events.ts";
import { diskUsedPercentOf, isDiskFull, type Rejections } from "./rules.ts";
import {
  beDue,
  isActive,
  isLive,
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
import { decide, note, touch, type Turn } from "./turn.ts";

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
  const { nowMs, config } = turn.moment;
  const waiting = hopeless.filter((peer) => !refusedByPriority(turn, peer));
  // One that had leave and asks again, over a new stream: nobody else is to read for it.
  const again = waiting.find((peer) => peer.permit !== undefined && mayReadSource(peer));
  if (again?.permit !== undefined) return grant(turn, again, again.permit.kind, "asked-for");
  const first = waiting[0];
  if (first === undefined || task.trigger !== undefined || liveReaders(task) >= config.sourceReadersMax) return false;
  const able = withRoom(waiting.filter(mayReadSource), turn);
  const asked = able.find((peer) => peer.order?.needBackToSource);
  if (asked !== undefined) return grant(turn, asked, "granted", "asked-for");
  if (nowMs < turn.cluster.startedAtMs + config.settleMs) return false; // who has it may be about to come back
  const because: SourceBecause = task.sourceReads === 0 ? "first" : "reader-lost";
  const reader = able.find((peer) => peer.host.facts.seed) ?? mostAdvanced(able) ?? (priorityOf(first) === 3 ? able[0] : undefined);
  if (reader !== undefined) return grant(turn, reader, "granted", because);
  if (triggerSeed(turn, task, first.order)) return false;
  if (able[0] !== undefined) return grant(turn, able[0], "granted", because);
  for (const peer of waiting)
    if (waitedMs(turn, peer) >= config.prospectTimeoutMs)
      failPeer(turn, peer, "download.no-source", { reason: "no peer has it, and this download may not read the source" });
  return false;
}

/** Those whose disks can take it; all of them where none can: one may find room yet, or passes it on only. */
function withRoom(peers: readonly Peer[], { moment }: Turn): readonly Peer[] {
  const roomy = peers.filter(({ host }) => !isDiskFull(host, moment));
  return roomy.length === 0 ? peers : roomy;
}

/** A way out for one that has waited or tried in vain although others have the content. False when there is none now. */
export function rescue(turn: Turn, peer: Peer): boolean {
  const { task } = peer;
  const { config } = turn.moment;
  if (!mayReadSource(peer)) return false;
  if (liveReaders(task) < config.sourceReadersMax && task.trigger === undefined) return grant(turn, peer, "granted", "no-parent-reachable");
  return rescues(task) < config.rescueReadersMax && grant(turn, peer, "rescue", "no-parent-reachable");
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

export function failPeer(turn: Turn, peer: Peer, code: ErrorCode, details: ErrorDetails): void {
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

/** The same seed for a task whoever asks, as long as it is well: rendezvous hashing. */
function triggerSeed(turn: Turn, task: Task, order: Download | undefined): boolean {
  if (order === undefined) return false;
  const isBusy = (host: Host): number => (diskUsedPercentOf(host) >= turn.moment.config.diskBusyPercent ? 1 : 0);
  const rankOf = (host: Host): number => hashOf(`${task.id}\0${host.facts.id}`);
  const seed = seedsOf(turn, task).toSorted((a, b) => isBusy(a) - isBusy(b) || rankOf(b) - rankOf(a))[0];
  if (seed === undefined) return false;
  task.trigger = { hostId: seed.facts.id, sinceMs: turn.moment.nowMs, order };
  note(turn, task, "seed-triggered", { fields: { hostId: seed.facts.id } });
  turn.effects.push({ do: "triggerSeed", taskId: task.id, hostId: seed.facts.id, order });
  return true;
}

function seedsOf(turn: Turn, task: Task): Host[] {
  const { nowMs } = turn.moment;
  const isFit = (host: Host): boolean =>
    host.facts.sharing && isLive(host) && host.troubledUntilMs <= nowMs && (task.triedSeeds.get(host.facts.id) ?? -Infinity) <= nowMs;
  const downloads = (host: Host): boolean => host.peers.get(task)?.some(isActive) === true;
  const fit = [...turn.cluster.seeds].filter((host) => isFit(host) && !downloads(host));
  const full = fit.filter((host) => isDiskFull(host, turn.moment));
  for (const host of full) notePassedOver(turn, task, host);
  return fit.filter((host) => !full.includes(host));
}

/** Once for as long as the task remembers: a task is looked at again and again. */
function notePassedOver(turn: Turn, task: Task, host: Host): void {
  const hostId = host.facts.id;
  if (task.notes.some(({ event, fields }) => event === PASSED_OVER && fields["hostId"] === hostId)) return;
  const fields = { hostId, because: "disk-full", usedPercent: Math.floor(diskUsedPercentOf(host)) };
  note(turn, task, PASSED_OVER, { level: "warn", fields });
}

const PASSED_OVER = "seed-passed-over";

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
  decide(turn, peer, "source", { because: "part", rejections: peer.lastDecision?.rejections ?? {} });
}

function grant(turn: Turn, peer: Peer, kind: Permit["kind"], because: SourceBecause): true {
  setPermit(turn, peer, kind);
  turn.cluster.stopWaiting(peer);
  peer.fruitless = 0;
  const rejections: Rejections = peer.lastDecision?.rejections ?? {};
  decide(turn, peer, "source", { because, rejections });
  note(turn, peer.task, "source-granted", { peer, fields: { because, kind } });
  turn.effects.push({ do: "needBackToSource", peerId: peer.id, because, rejections });
  return true;
}

function setPermit(turn: Turn, peer: Peer, kind: Permit["kind"]): void {
  const { nowMs } = turn.moment;
  peer.permit = { kind, grantedAtMs: nowMs, progressAtMs: nowMs, reading: undefined, stalled: false };
  const { task } = peer;
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

function sourceCodeOf(statusCode: number | undefined): ErrorCode {
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
