import type { Cluster } from "./cluster.ts";
import type { Effect, Event } from "./events.ts";
import { answerOne, pushDue, reconcile, serveBudget } from "./reconcile.ts";
import { isFetching, type Peer } from "./state.ts";
import { dropped, forgetPeer, heartbeat, hostAnnounced, hostAttached, hostDetached, hostLeft, noticeSilence, stored } from "./step-host.ts";
import * as peer from "./step-peer.ts";
import type { Turn } from "./turn.ts";

/** Unasked offers of one step: each takes tens of microseconds, and who asks meanwhile waits. */
const PUSHES_MAX = 64;

/**
 * Takes note of an event and says what to do about it. Time is monotonic milliseconds. Changes `cluster` and nothing else; throws an
 * AnaxError for reports that cannot be true, and then nothing has changed that matters.
 */
export function step(cluster: Cluster, event: Event, nowMs: number): readonly Effect[] {
  const isTick = event.kind === "tick";
  const turn: Turn = {
    cluster,
    moment: { nowMs, config: cluster.config },
    effects: [],
    touched: new Set(),
    asking: new Set(),
    pushesLeft: PUSHES_MAX,
  };
  apply(turn, event);
  for (const task of turn.touched) reconcile(turn, task, "event");
  for (const asking of turn.asking) if (asking.waitingSinceMs !== undefined) answerOne(turn, asking);
  serveBudget(turn);
  if (isTick) visitActive(turn);
  // Each host has its second for it: what all have to be told of does not hold up who asks meanwhile.
  if (event.kind === "heartbeat") pushDue(turn, cluster.hosts.get(event.hostId)?.due ?? []);
  for (const roster of cluster.noted) roster.refresh(turn.moment);
  return turn.effects;
}

function apply(turn: Turn, event: Event): void {
  switch (event.kind) {
    case "hostAnnounced":
      return hostAnnounced(turn, event);
    case "hostAttached":
      return hostAttached(turn, event);
    case "heartbeat":
      return heartbeat(turn, event);
    case "stored":
      return stored(turn, event);
    case "dropped":
      return dropped(turn, event);
    case "hostDetached":
      return hostDetached(turn, event);
    case "hostLeft":
      return hostLeft(turn, event);
    case "peerRegistered":
      return peer.peerRegistered(turn, event);
    case "peerStarted":
      return peer.peerStarted(turn, event);
    case "backToSourceStarted":
      return peer.backToSourceStarted(turn, event);
    case "pieceFinished":
      return peer.pieceFinished(turn, event);
    case "sourcePieceFinished":
      return peer.sourcePieceFinished(turn, event);
    case "pieceFailed":
      return peer.pieceFailed(turn, event);
    case "sourcePieceFailed":
      return peer.sourcePieceFailed(turn, event);
    case "rescheduled":
      return peer.rescheduled(turn, event);
    case "peerFinished":
      return peer.peerFinished(turn, event);
    case "peerFailed":
      return peer.peerFailed(turn, event);
    case "streamClosed":
      return peer.streamClosed(turn, event);
    case "peerDeleted":
      return peer.peerDeleted(turn, event);
    case "seedTriggerEnded":
      return peer.seedTriggerEnded(turn, event);
    case "tick":
      return noticeSilence(turn);
  }
}

/** Deadlines pass and blocks end without an event, so every running download is looked at. */
function visitActive(turn: Turn): void {
  const { cluster, moment } = turn;
  for (const task of cluster.activeTasks) {
    reconcile(turn, task, "tick");
    pushDue(turn, task.due);
    if (task.activeCount === 0) {
      cluster.activeTasks.delete(task);
      cluster.endTrigger(task);
      task.readers.clear();
      cluster.budget.forget(task);
    }
  }
  if (moment.nowMs < cluster.nextSweepMs) return;
  cluster.nextSweepMs = moment.nowMs + moment.config.gc.peerGCInterval;
  sweep(turn);
}

function sweep(turn: Turn): void {
  const {
    cluster,
    moment: { nowMs, config },
  } = turn;
  const { peerTTL, pieceDownloadTimeout } = config.gc;
  const isStale = (one: Peer): boolean =>
    one.state === "failed" && one.streamId === undefined && nowMs - one.updatedAtMs >= config.peerForgetMs;
  for (const one of cluster.peers.values()) {
    const quietMs = nowMs - one.updatedAtMs;
    if (isStale(one)) cluster.removePeer(one, nowMs);
    // Ours tell by themselves what they have and do.
    else if (one.host.instanceId !== undefined) continue;
    else if (quietMs >= peerTTL) forgetPeer(turn, one);
    else if (quietMs >= pieceDownloadTimeout && isFetching(one)) peer.peerStalled(turn, one);
  }
  for (const task of cluster.tasks.values()) {
    for (const [hostId, untilMs] of task.triedSeeds) if (untilMs <= nowMs) task.triedSeeds.delete(hostId);
    const isStaleTask = task.peers.size === 0 && nowMs - task.updatedAtMs >= config.taskForgetMs;
    if (isStaleTask) cluster.forgetTask(task);
  }
}
