import { chooseParents, hasProspect, withRoot, type Choice } from "./choose.ts";
import { isPassing, rejectionOf, type Rejections } from "./rules.ts";
import { appointReader, failPeer, rescue, waitedMs } from "./source.ts";
import { servingOf } from "./serving.ts";
import { isActive, isLive, isOurs, mayReadSource, type Peer, type Task } from "./state.ts";
import { decide, note, touch, type Turn } from "./turn.ts";

/** How many times as long as usual a peer waits whose turn to read the source itself is still to come. */
const RESCUE_PATIENCE = 10;

/**
 * Brings a task in order after anything happened to it: answers who waits, finds a reader of the source when nobody else has the content,
 * and moves children over to better parents. It looks at what is, not at what changed, so a missed cause cannot leave anyone waiting.
 */
export function reconcile(turn: Turn, task: Task): void {
  if (!turn.cluster.activeTasks.has(task)) return;
  noticeStalls(turn, task);
  if (task.dirty) parkOrphans(turn, task);
  answerWaiting(turn, task);
}

/** Answers one that has just asked. It serves nobody yet, so for the others nothing has changed unless it is told to read the source. */
export function answerOne(turn: Turn, peer: Peer): void {
  const hopeless = answerRound(turn, [peer]);
  if (hopeless.length > 0 && appointReader(turn, peer.task, hopeless)) reconcile(turn, peer.task);
}

/** Unasked offers to our own hosts; paced, hence on ticks only. */
export function pushParents(turn: Turn, task: Task): void {
  if (!task.dirty) return;
  task.dirty = false;
  const { nowMs, config } = turn.moment;
  for (const child of task.peers.values()) {
    if (!isPushable(child) || child.waitingSinceMs !== undefined) continue;
    if (nowMs - child.pushedAtMs < config.pushIntervalMs) task.dirty = true; // its turn comes
    else pushTo(turn, child);
  }
}

const isPushable = (peer: Peer): boolean =>
  isActive(peer) && peer.streamId !== undefined && isOurs(peer.host) && peer.order?.metadataOnly !== true;

function noticeStalls(turn: Turn, task: Task): void {
  const { nowMs, config } = turn.moment;
  for (const reader of task.readers) {
    if (reader.permit!.stalled || nowMs - reader.permit!.progressAtMs < config.sourceStallTimeoutMs) continue; // readers have a permit
    reader.permit!.stalled = true;
    note(turn, task, "source-stalled", { peer: reader, level: "warn", fields: { afterMs: config.sourceStallTimeoutMs } });
    touch(turn, task);
  }
  const { trigger } = task;
  if (trigger === undefined || nowMs - trigger.sinceMs < config.seedTriggerTimeoutMs) return;
  task.trigger = undefined;
  task.triedSeeds.set(trigger.hostId, nowMs + config.seedTroubleMs);
  note(turn, task, "seed-overdue", { level: "warn", fields: { hostId: trigger.hostId } });
}

/** Of ours that lost all their parents: they wait from now on, without having to ask. A foreign peer asks by itself. */
function parkOrphans(turn: Turn, task: Task): void {
  for (const peer of task.peers.values()) {
    if (isPushable(peer) && peer.parents.size === 0 && peer.permit === undefined) turn.cluster.startWaiting(peer, turn.moment.nowMs);
  }
}

function answerWaiting(turn: Turn, task: Task): void {
  // Each round ends with one more reader or is the last.
  for (let round = 0; round <= task.peers.size; round++) {
    const hopeless = [...answerRound(turn, task.waiting), ...starving(turn, task)];
    if (hopeless.length === 0 || !appointReader(turn, task, hopeless)) break;
  }
  for (const peer of task.waiting) if (isAnswerable(peer) && waitedMs(turn, peer) >= turn.moment.config.waitTimeoutMs) helpOut(turn, peer);
}

/** One that nobody could serve in time. It may have to wait for others that are helped so, but not for ever. */
function helpOut(turn: Turn, peer: Peer): void {
  if (rescue(turn, peer)) return;
  const patienceMs = turn.moment.config.waitTimeoutMs * (mayReadSource(peer) ? RESCUE_PATIENCE : 1);
  if (waitedMs(turn, peer) < patienceMs) return;
  failPeer(turn, peer, "download.no-source", { reason: "no parent could be reached in time", waitedMs: waitedMs(turn, peer) });
}

const isAnswerable = (peer: Peer): boolean => isLive(peer.host) && peer.streamId !== undefined;

/** Offers parents to all that can have some; returns those that have nothing to hope for. */
function answerRound(turn: Turn, waiting: Iterable<Peer>): Peer[] {
  const hopeless: Peer[] = [];
  for (const child of waiting) {
    if (!isAnswerable(child)) continue;
    if (child.fruitless >= turn.moment.config.fruitlessMax && rescue(turn, child)) continue;
    const choice = chooseParents(child, turn.moment);
    if (choice.parents.length > 0) {
      offer(turn, child, choice.parents, { rejections: choice.rejections, unasked: false });
      continue;
    }
    keepWaiting(turn, child, choice);
    if (!hasProspect(child, turn.moment)) hopeless.push(child);
  }
  return hopeless;
}

const isStarving = (peer: Peer): boolean =>
  isPushable(peer) && isLive(peer.host) && peer.waitingSinceMs === undefined && peer.permit === undefined && mayReadSource(peer);

/** Of ours that have parents, but such that all together lack a piece. A foreign peer finds out and asks. */
function starving(turn: Turn, task: Task): Peer[] {
  const { roots, pieces } = servingOf(task, turn.moment);
  if (task.trigger !== undefined || roots.length > 0) return [];
  if (task.layout !== undefined && pieces.count >= task.layout.pieceCount) return [];
  return [...task.peers.values()].filter(isStarving);
}

function keepWaiting(turn: Turn, child: Peer, { rejections }: Choice): void {
  const before = child.lastDecision;
  decide(turn, child, "wait", { because: "no-candidates", rejections });
  // Told once for each kind of obstacle: with every peer that comes the counts change.
  if (before?.kind === "wait" && namesOf(before.rejections) === namesOf(rejections)) return;
  turn.effects.push({ do: "keepWaiting", peerId: child.id, rejections });
  note(turn, child.task, "peer-waits", { peer: child, fields: { ...rejections } });
}

function offer(
  turn: Turn,
  child: Peer,
  parents: readonly Peer[],
  about: { readonly rejections: Rejections; readonly unasked: boolean },
): void {
  turn.cluster.stopWaiting(child);
  turn.cluster.setParents(child, parents);
  child.pushedAtMs = turn.moment.nowMs;
  child.lostParent = false;
  decide(turn, child, "parents", { because: about.unasked ? "pushed" : "asked", rejections: about.rejections });
  note(turn, child.task, "parents-offered", {
    peer: child,
    fields: { parents: parents.length, pushed: String(about.unasked), ...about.rejections },
  });
  turn.effects.push({ do: "offerParents", peerId: child.id, parents: parents.map(({ id }) => id), ...about });
}

/** Keeps good parents, since leaving them costs, and fills up with the best of the others. */
function pushTo(turn: Turn, child: Peer): void {
  const { moment } = turn;
  const kept = [...child.parents].filter(
    (parent) => isPassing(rejectionOf({ child, parent, moment, relaxation: "blocks" })) && !child.blocked.has(parent.id),
  );
  const lost = child.lostParent || kept.length < child.parents.size;
  if (!lost && kept.length >= moment.config.parentsMax) return;
  const choice = chooseParents(child, moment);
  // Who reads the source wants others only for what they have and it has not.
  const isWelcome = (parent: Peer): boolean => child.permit === undefined || child.pieces.missingFrom(parent.pieces) > 0;
  const fresh = choice.parents.filter((parent) => !kept.includes(parent) && isWelcome(parent));
  if (fresh.length === 0 && (!lost || kept.length === 0)) {
    if (kept.length === 0) turn.cluster.setParents(child, []);
    return;
  }
  offer(turn, child, withRoot([...kept, ...fresh], moment.config.parentsMax), { rejections: choice.rejections, unasked: true });
}

const namesOf = (rejections: Rejections): string => Object.keys(rejections).toSorted().join();
