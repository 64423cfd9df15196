import { AnaxError } from "../../base/errors.ts";
import type { PeerId } from "../model/ids.ts";
import { block, blockReasonOf, complain, forgive, hasSomethingFor, tally } from "./blocks.ts";
import type { Event } from "./events.ts";
import { rosterOf } from "./roster.ts";
import { isDivided } from "./share.ts";
import { admitReader, endPeer, sourceFailed } from "./source.ts";
import { isActive, isOurs, trade, type Peer } from "./state.ts";
import { forgetPeer, hear, hearRegistration, learnUrl, supersede } from "./step-host.ts";
import { decide, note, touch, type Turn } from "./turn.ts";

type EventOf<K extends Event["kind"]> = Extract<Event, { kind: K }>;

/** Throws `host.unknown` when the host never announced itself, `limit.exceeded` when there is no room. */
export function peerRegistered(turn: Turn, event: EventOf<"peerRegistered">): void {
  const { nowMs } = turn.moment;
  const { order } = event;
  const host = hearRegistration(turn, event.hostId);
  const task = turn.cluster.taskOf(event.taskId, nowMs);
  const peer = turn.cluster.peerOf(event.peerId, host, task, nowMs);
  if (peer.streamId !== undefined && peer.streamId !== event.streamId) {
    turn.effects.push({ do: "closeStream", peerId: peer.id, streamId: peer.streamId });
  }
  peer.streamId = event.streamId;
  peer.introduced = false;
  peer.order = order;
  peer.sourceError = undefined;
  learnUrl(task, order.url);
  task.digest ??= order.digest;
  task.tag ??= order.tag;
  task.application ??= order.application;
  if (event.layout !== undefined) peer.layout = event.layout;
  task.layout ??= event.layout;
  turn.cluster.move(peer, "register", nowMs);
  if (isOurs(host)) supersede(turn, peer);
  if (task.trigger?.hostId === host.facts.id) turn.cluster.endTrigger(task);
  note(turn, task, "peer-registered", {
    peer,
    fields: { hostId: host.facts.id, priority: order.priority, needBackToSource: String(order.needBackToSource) },
  });
  answer(turn, peer);
  if (peer.pieces.count > 0) touch(turn, task);
}

/** What needs no parents is answered at once. */
function answer(turn: Turn, peer: Peer): void {
  if (peer.order?.metadataOnly === true) {
    decide(turn, peer, "metadata-only", { because: "has-content" });
    turn.effects.push({ do: "metadataOnly", peerId: peer.id });
  } else if (!isOurs(peer.host) && (peer.layout ?? peer.task.layout)?.contentLength === 0) {
    decide(turn, peer, "empty", { because: "empty-content" });
    turn.effects.push({ do: "emptyTask", peerId: peer.id });
  } else {
    turn.cluster.startWaiting(peer, turn.moment.nowMs);
    turn.asking.add(peer);
  }
}

export function peerStarted(turn: Turn, event: EventOf<"peerStarted">): void {
  const peer = knownPeer(turn, event.peerId);
  turn.cluster.move(peer, "start", turn.moment.nowMs);
}

export function backToSourceStarted(turn: Turn, event: EventOf<"backToSourceStarted">): void {
  const peer = knownPeer(turn, event.peerId);
  turn.cluster.move(peer, "readSource", turn.moment.nowMs);
  turn.cluster.stopWaiting(peer);
  admitReader(turn, peer);
  if (peer.layout !== undefined) peer.task.layout = peer.layout; // its reader knows best what the source has now
  note(turn, peer.task, "source-reading", { peer, fields: { description: event.description } });
  touch(turn, peer.task);
}

export function pieceFinished(turn: Turn, event: EventOf<"pieceFinished">): void {
  const peer = knownPeer(turn, event.peerId);
  addPiece(turn, peer, event.pieceIndex);
  forgive(peer, event.parentId);
}

export function sourcePieceFinished(turn: Turn, event: EventOf<"sourcePieceFinished">): void {
  const peer = knownPeer(turn, event.peerId);
  addPiece(turn, peer, event.pieceIndex);
  peer.task.sourceFailures = 0;
}

function addPiece(turn: Turn, peer: Peer, pieceIndex: number): void {
  const { nowMs } = turn.moment;
  const { layout } = peer;
  if (layout !== undefined && pieceIndex >= layout.pieceCount)
    throw new AnaxError("input.invalid", { reason: "no such piece", pieceIndex });
  if (peer.pieces.add(pieceIndex)) peer.task.roster.grew(peer);
  peer.updatedAtMs = nowMs;
  if (peer.permit !== undefined) peer.permit.progressAtMs = nowMs;
  if (peer.pieces.count === 1) touch(turn, peer.task); // it can be a parent now
}

/**
 * Upstream keeps the child from this parent for as long as it lives; here it is for a while. Ours that trade leave each other alone for a
 * while by themselves, and report for good only whom they have given up.
 */
export function pieceFailed(turn: Turn, event: EventOf<"pieceFailed">): void {
  const peer = knownPeer(turn, event.peerId);
  const parent = peer.task.peers.get(event.parentId as PeerId); // a lookup by a stranger's text finds nothing or a peer
  if (parent === undefined || parent === peer) return;
  const reason = blockReasonOf(event.code);
  if (event.temporary && trade(peer, parent)) return reason === "damaged" ? tally(turn, peer, parent, reason) : undefined;
  block(turn, peer, parent, reason);
  complain(turn, peer, parent);
  turn.cluster.setParents(
    peer,
    [...(peer.parents ?? [])].filter((one) => one !== parent),
  );
}

export function sourcePieceFailed(turn: Turn, event: EventOf<"sourcePieceFailed">): void {
  const peer = knownPeer(turn, event.peerId);
  peer.sourceError = event.error;
  // A part goes to somebody else; who read everything reports by itself how that ended.
  if (!isDivided(peer.task) || !peer.task.spans.some(({ reader }) => reader === peer)) return;
  turn.cluster.takePermit(peer);
  peer.task.shareDue = true;
  touch(turn, peer.task);
}

/** All parents named are given up, good ones among them: a foreign peer names whatever it was offered. */
export function rescheduled(turn: Turn, event: EventOf<"rescheduled">): void {
  const peer = knownPeer(turn, event.peerId);
  const { peers } = peer.task;
  const given = event.parentIds.map((id) => peers.get(id as PeerId)).filter((parent) => parent !== undefined && parent !== peer); // as above
  let useless = false;
  for (const parent of new Set(given)) {
    block(turn, peer, parent!, "given-up"); // filtered above
    if (peer.served?.has(parent!.id) === true || !hasSomethingFor(peer, parent!)) continue; // nothing to be had is not its fault
    complain(turn, peer, parent!);
    useless = true;
  }
  // One of ours that names nobody stands still, whatever its neighbours are: what others have does not reach it.
  if (isOurs(peer.host) && given.length === 0) useless = peer.pieces.missingFrom(rosterOf(peer.task, turn.moment).pieces) > 0;
  if (useless && !peer.gained) peer.fruitless++;
  peer.served = undefined;
  peer.gained = false;
  peer.introduced = false;
  note(turn, peer.task, "peer-rescheduled", { peer, fields: { parents: given.length, description: event.description } });
  turn.cluster.setParents(peer, isOurs(peer.host) ? [...(peer.parents ?? [])].filter((parent) => !given.includes(parent)) : []);
  if (!isActive(peer)) return;
  turn.cluster.startWaiting(peer, turn.moment.nowMs);
  turn.asking.add(peer);
}

export function peerFinished(turn: Turn, event: EventOf<"peerFinished">): void {
  const peer = knownPeer(turn, event.peerId);
  const { task } = peer;
  turn.cluster.move(peer, "finish", turn.moment.nowMs);
  const layout = peer.layout ?? task.layout;
  if (layout !== undefined && peer.order?.range === undefined) peer.pieces.fill(layout.pieceCount);
  task.failure = undefined;
  task.sourceFailures = 0;
  note(turn, task, "peer-finished", { peer, level: "info", fields: { pieces: peer.pieces.count } });
  closeStream(turn, peer);
  touch(turn, task);
}

export function peerFailed(turn: Turn, event: EventOf<"peerFailed">): void {
  const peer = knownPeer(turn, event.peerId);
  const { order } = peer; // ending it drops the credentials
  const wasReader = event.readingSource || peer.permit !== undefined;
  note(turn, peer.task, "peer-gave-up", {
    peer,
    level: "warn",
    fields: { description: event.description, readingSource: String(wasReader) },
  });
  endPeer(turn, peer);
  closeStream(turn, peer);
  if (wasReader) sourceFailed(turn, peer.task, { order, host: peer.host }, peer.sourceError);
  touch(turn, peer.task);
}

export function streamClosed(turn: Turn, event: EventOf<"streamClosed">): void {
  const peer = turn.cluster.peers.get(event.peerId);
  if (peer === undefined || peer.streamId !== event.streamId) return; // it was replaced, or ended by us
  peer.streamId = undefined;
  peer.task.roster.note(peer);
  if (!isActive(peer)) return;
  note(turn, peer.task, "stream-lost", { peer, level: "warn" });
  endPeer(turn, peer);
  touch(turn, peer.task);
}

/** A foreign peer of which no piece was heard for so long that it cannot be counted on. */
export function peerStalled(turn: Turn, peer: Peer): void {
  const wasReader = peer.permit !== undefined;
  const { order } = peer;
  note(turn, peer.task, "peer-stalled", { peer, level: "warn", fields: { afterMs: turn.moment.config.gc.pieceDownloadTimeout } });
  endPeer(turn, peer);
  closeStream(turn, peer);
  if (wasReader) sourceFailed(turn, peer.task, { order, host: peer.host }, undefined);
  touch(turn, peer.task);
}

export function peerDeleted(turn: Turn, event: EventOf<"peerDeleted">): void {
  const peer = knownPeer(turn, event.peerId);
  note(turn, peer.task, "peer-deleted", { peer });
  forgetPeer(turn, peer);
}

/** A seed's own report tells what becomes of its download; only what happens before that is ours to handle. */
export function seedTriggerEnded(turn: Turn, event: EventOf<"seedTriggerEnded">): void {
  const task = turn.cluster.tasks.get(event.taskId);
  const { trigger } = task ?? {};
  if (task === undefined || trigger?.hostId !== event.hostId) return;
  const { nowMs, config } = turn.moment;
  const host = turn.cluster.hosts.get(event.hostId);
  turn.cluster.endTrigger(task);
  task.triedSeeds.set(event.hostId, nowMs + config.seedTroubleMs);
  touch(turn, task);
  note(turn, task, "seed-trigger-ended", {
    level: "warn",
    fields: { hostId: event.hostId, reason: event.failure?.reason ?? "it never registered" },
  });
  if (event.failure === undefined) return;
  if (event.failure.source !== undefined) sourceFailed(turn, task, { order: trigger.order, host }, event.failure.source);
  else if (host !== undefined) host.troubledUntilMs = nowMs + config.seedTroubleMs; // unreachable or full: no better for other tasks
}

function closeStream(turn: Turn, peer: Peer): void {
  if (peer.streamId !== undefined) turn.effects.push({ do: "closeStream", peerId: peer.id, streamId: peer.streamId });
  peer.streamId = undefined;
}

function knownPeer(turn: Turn, id: PeerId): Peer {
  const peer = turn.cluster.peers.get(id);
  if (peer === undefined) throw new AnaxError("peer.unknown", { peerId: id });
  hear(turn, peer.host);
  return peer;
}
