import { AnaxError } from "../../base/errors.ts";
import type { HostId, PeerId } from "../model/ids.ts";
import { isBusy } from "./rules.ts";
import { admitReader, trustReader } from "./source.ts";
import { originOf } from "./source-budget.ts";
import type { Event, ProgressFacts, StoredFacts } from "./events.ts";
import {
  isActive,
  isLive,
  peersOf,
  type Host,
  type HostFacts,
  type Layout,
  type Liveness,
  type Peer,
  type SilentBecause,
  type Task,
} from "./state.ts";
import { note, touch, type Turn } from "./turn.ts";

type EventOf<K extends Event["kind"]> = Extract<Event, { kind: K }>;

export function hostAnnounced(turn: Turn, event: EventOf<"hostAnnounced">): void {
  const { nowMs, config } = turn.moment;
  const known = turn.cluster.hosts.get(event.host.id);
  if (known?.liveness.kind === "attached") {
    known.facts = event.host;
    known.liveness.heardAtMs = nowMs;
    turn.cluster.hostChanged(known);
    return;
  }
  if (known !== undefined) known.instanceId = undefined; // ours do not announce themselves so: another's daemon took its place
  const intervalMs = event.intervalMs ?? config.announceIntervalDefaultMs;
  welcome(turn, event.host, { kind: "announced", intervalMs, heardAtMs: nowMs });
}

/** What the host has is as its inventory says, whatever we believed. */
export function hostAttached(turn: Turn, event: EventOf<"hostAttached">): void {
  const host = welcome(turn, event.host, { kind: "attached", heardAtMs: turn.moment.nowMs });
  if (host.sessionId !== undefined && host.sessionId !== event.sessionId) {
    turn.effects.push({ do: "closeAttachment", hostId: host.facts.id, sessionId: host.sessionId });
  }
  host.sessionId = event.sessionId;
  if (host.instanceId !== event.instanceId) host.uploadsInFlight = 0;
  host.instanceId = event.instanceId;
  host.signingKey = event.signingKey;
  turn.cluster.hostChanged(host);
  const kept = new Set<PeerId>(event.inventory.map(({ peerId }) => peerId));
  for (const peer of peersOf(host)) {
    if (kept.has(peer.id) || peer.streamId !== undefined) continue;
    touch(turn, peer.task);
    turn.cluster.removePeer(peer, turn.moment.nowMs);
  }
  for (const facts of event.inventory) applyStored(turn, host, facts);
}

export function heartbeat(turn: Turn, event: EventOf<"heartbeat">): void {
  const host = turn.cluster.hosts.get(event.hostId);
  if (host === undefined || host.sessionId !== event.sessionId) return; // of a stream that was replaced
  const wasBusy = isBusy(host, turn.moment);
  host.uploadsInFlight = event.uploadsInFlight;
  host.uploadSlots = event.uploadSlots > 0 ? event.uploadSlots : undefined;
  if (event.host !== undefined) learnHost(turn, host, event.host);
  if (host.liveness.kind === "attached") host.liveness.heardAtMs = turn.moment.nowMs;
  else welcome(turn, host.facts, { kind: "attached", heardAtMs: turn.moment.nowMs });
  if (wasBusy && !isBusy(host, turn.moment)) touchTasks(turn, host);
  for (const facts of event.progress) applyProgress(turn, host, facts);
}

/** Of most of what changes in a host no rule takes notice. */
function learnHost(turn: Turn, host: Host, facts: HostFacts): void {
  const before = host.facts;
  host.facts = facts;
  if (before.sharing !== facts.sharing || before.place.rack !== facts.place.rack || before.seed !== facts.seed)
    turn.cluster.hostChanged(host);
}

/** Stands for the report of each piece; a download that is over, or another host's, is passed over. */
function applyProgress(turn: Turn, host: Host, { peerId, layout, finishedPieces, source }: ProgressFacts): void {
  const peer = turn.cluster.peers.get(peerId);
  if (peer === undefined || peer.host !== host || !isActive(peer)) return;
  if (layout !== undefined) learnLayout(peer, layout);
  if (peer.permit !== undefined) peer.permit.reading = source;
  const before = peer.pieces.count;
  peer.pieces.merge(finishedPieces);
  if (peer.pieces.count === before) return;
  peer.task.roster.grew(peer);
  peer.updatedAtMs = turn.moment.nowMs;
  peer.gained = true;
  peer.fruitless = 0;
  if (peer.permit !== undefined) {
    peer.permit.progressAtMs = turn.moment.nowMs;
    peer.task.sourceFailures = 0;
  }
  if (before === 0) touch(turn, peer.task); // it can be a parent now
}

function learnLayout(peer: Peer, layout: Layout): void {
  if (peer.layout?.contentLength === layout.contentLength && peer.layout.pieceLength === layout.pieceLength) return;
  peer.task.roster.note(peer);
  peer.layout = layout;
  // Its reader knows best what the source has now.
  if (peer.task.layout === undefined || peer.permit !== undefined) peer.task.layout = layout;
}

export function stored(turn: Turn, event: EventOf<"stored">): void {
  const host = turn.cluster.hosts.get(event.hostId);
  if (host === undefined) throw new AnaxError("host.unknown", { hostId: event.hostId });
  hear(turn, host);
  applyStored(turn, host, event.stored);
}

/** The host has the task no more, whichever of its peers it was. */
export function dropped(turn: Turn, event: EventOf<"dropped">): void {
  const task = turn.cluster.tasks.get(event.taskId);
  if (task === undefined) return;
  for (const peer of turn.cluster.hosts.get(event.hostId)?.peers.get(task) ?? []) {
    if (event.peerId !== undefined && peer.id !== event.peerId) continue;
    note(turn, task, "peer-dropped", { peer });
    forgetPeer(turn, peer);
  }
}

export function hostDetached(turn: Turn, event: EventOf<"hostDetached">): void {
  const host = turn.cluster.hosts.get(event.hostId);
  if (host === undefined || host.sessionId !== event.sessionId) return;
  host.sessionId = undefined;
  silence(turn, host, "stream-ended");
}

export function hostLeft(turn: Turn, event: EventOf<"hostLeft">): void {
  const host = turn.cluster.hosts.get(event.hostId);
  if (host === undefined) return;
  if (host.sessionId !== undefined) turn.effects.push({ do: "closeAttachment", hostId: event.hostId, sessionId: host.sessionId });
  for (const peer of peersOf(host)) forgetPeer(turn, peer);
  turn.cluster.removeHost(host, turn.moment.nowMs);
  turn.effects.push({ do: "note", level: "info", event: "scheduler.host-left", fields: { hostId: event.hostId } });
}

export function forgetPeer(turn: Turn, peer: Peer): void {
  if (peer.streamId !== undefined) turn.effects.push({ do: "closeStream", peerId: peer.id, streamId: peer.streamId });
  peer.streamId = undefined;
  turn.cluster.removePeer(peer, turn.moment.nowMs);
  touch(turn, peer.task);
}

/** Whatever a host reports shows that it lives. One that was given up returns by a fresh announcement or registration only. */
export function hear(turn: Turn, host: Host): void {
  if (host.liveness.kind !== "silent") host.liveness.heardAtMs = turn.moment.nowMs;
}

/** A registration shows that a host lives, even when its own stream to us is down for the moment. */
export function hearRegistration(turn: Turn, hostId: HostId): Host {
  const host = turn.cluster.hosts.get(hostId);
  if (host === undefined) throw new AnaxError("host.unknown", { hostId });
  const intervalMs = host.instanceId === undefined ? turn.moment.config.announceIntervalDefaultMs : turn.moment.config.heartbeatIntervalMs;
  if (isLive(host)) hear(turn, host);
  else welcome(turn, host.facts, { kind: "announced", intervalMs, heardAtMs: turn.moment.nowMs });
  return host;
}

/** Takes silent hosts out of service, and forgets those that stay silent. */
export function noticeSilence(turn: Turn): void {
  const { nowMs, config } = turn.moment;
  // What hosts said while this process could not listen is still in the sockets, so that time does not count against them.
  const deafMs = Math.max(0, nowMs - turn.cluster.lastTickMs - 2 * config.tickIntervalMs);
  turn.cluster.lastTickMs = nowMs;
  for (const host of turn.cluster.hosts.values()) {
    const { liveness } = host;
    if (liveness.kind !== "silent") liveness.heardAtMs = Math.min(nowMs, liveness.heardAtMs + deafMs);
    if (liveness.kind === "silent") {
      if (nowMs - liveness.sinceMs >= config.gc.hostTTL) hostLeft(turn, { kind: "hostLeft", hostId: host.facts.id });
    } else if (nowMs - liveness.heardAtMs >= patienceMs(turn, liveness)) {
      silence(turn, host, liveness.kind === "attached" ? "no-heartbeat" : "announcement-overdue");
    }
  }
}

function patienceMs({ moment: { config } }: Turn, liveness: Extract<Liveness, { kind: "attached" | "announced" }>): number {
  return liveness.kind === "attached" ? config.heartbeatIntervalMs * config.heartbeatMissesMax : liveness.intervalMs * 2;
}

function welcome(turn: Turn, facts: HostFacts, liveness: Liveness): Host {
  const known = turn.cluster.hosts.get(facts.id);
  const returned = known === undefined || !isLive(known);
  const host = turn.cluster.hostOf(facts, liveness);
  if (!returned) return host;
  turn.effects.push({ do: "note", level: "info", event: "scheduler.host-live", fields: { hostId: facts.id, kind: liveness.kind } });
  // It may have gone on reading while we did not hear of it.
  for (const peer of peersOf(host)) if (peer.state === "back-to-source" && peer.streamId !== undefined) admitReader(turn, peer);
  touchTasks(turn, host);
  return host;
}

/** Its peers serve nobody from now on; what it read from the source another must read. */
function silence(turn: Turn, host: Host, because: SilentBecause): void {
  host.liveness = { kind: "silent", sinceMs: turn.moment.nowMs, because };
  turn.effects.push({ do: "note", level: "warn", event: "scheduler.host-silent", fields: { hostId: host.facts.id, because } });
  turn.cluster.hostChanged(host);
  for (const peer of peersOf(host)) {
    turn.cluster.takePermit(peer);
    turn.cluster.orphan(peer);
  }
  touchTasks(turn, host);
  for (const task of turn.cluster.activeTasks) if (task.trigger?.hostId === host.facts.id) dropTrigger(turn, task);
}

function dropTrigger(turn: Turn, task: Peer["task"]): void {
  turn.cluster.endTrigger(task);
  touch(turn, task);
}

function touchTasks(turn: Turn, host: Host): void {
  for (const task of host.peers.keys()) touch(turn, task);
}

function applyStored(turn: Turn, host: Host, facts: StoredFacts): void {
  const { nowMs } = turn.moment;
  const task = turn.cluster.taskOf(facts.taskId, nowMs);
  learnUrl(task, facts.url);
  task.digest ??= facts.digest;
  task.tag ??= facts.tag;
  task.application ??= facts.application;
  const peer = turn.cluster.peerOf(facts.peerId, host, task, nowMs);
  if (facts.layout !== undefined) learnLayout(peer, facts.layout);
  if (peer.permit !== undefined) {
    task.sourceRanges = facts.sourceRanges;
    task.shareDue = true; // it has only just begun, or is through with its part
  }
  const before = peer.pieces.count;
  peer.pieces.merge(facts.finishedPieces);
  if (facts.finished && facts.layout !== undefined) peer.pieces.fill(facts.layout.pieceCount);
  if (peer.permit !== undefined && peer.pieces.count > before) peer.permit.progressAtMs = nowMs;
  turn.cluster.move(peer, facts.finished ? "complete" : "stored", nowMs);
  if (facts.finished) task.failure = undefined;
  // After a restart nobody knows who read the source: one of those that have it all from then did.
  if (facts.finished && task.sourceReads === 0 && task.readerKeys.length < READER_KEYS_GUESSED) trustReader(task, host);
  supersede(turn, peer);
  touch(turn, task);
}

/** The first that anybody names. */
export function learnUrl(task: Task, url: string): void {
  if (task.url !== "" || url === "") return;
  task.url = url;
  task.origin = originOf(url);
}

/** A host has a task once: what it had of it under other names, one of ours has under the newest. */
export function supersede(turn: Turn, peer: Peer): void {
  for (const other of peer.host.peers.get(peer.task) ?? []) {
    if (other === peer || isActive(other) || other.streamId !== undefined) continue;
    if (other.state !== "failed") peer.pieces.mergeSet(other.pieces);
    peer.layout ??= other.layout;
    turn.cluster.removePeer(other, turn.moment.nowMs);
  }
}

const READER_KEYS_GUESSED = 8;
