import { chooseForeignParents, chooseParents, hasProspect, isServed, withRoot, type Choice } from "./choose.ts";
import { NOBODY, type Chosen } from "./decisions.ts";
import { isThin, moreNeighbours, wasIntroduced } from "./introduce.ts";
import { link } from "./links.ts";
import { rosterOf } from "./roster.ts";
import { add, isBlocked, isPassing, rejectionOf, type Rejection, type Rejections, type Relaxation } from "./rules.ts";
import { shareSource } from "./share.ts";
import { appointReader, failPeer, isRescueDue, rescue, waitedMs } from "./source.ts";
import { beDue, isLive, isOurs, isPushable, mayReadSource, notDue, type Peer, type Task } from "./state.ts";
import { decide, namesOf, note, touch, warn, type Turn } from "./turn.ts";

/** How many times as long as usual a peer waits whose turn to read the source itself is still to come. */
const RESCUE_PATIENCE = 10;
/** With more that wait, they are looked at when something has changed for all of them, or on a tick. */
const WAITING_EAGER_MAX = 64;
/**
 * With more peers, all of them are looked at so often at most: of a crowd that leaves at once each may be the one that the others waited for, and to
 * look at those that are left, and tell some of them, whenever one leaves takes the square of their number. What came meanwhile is seen after that.
 */
const EAGER_PEERS_MAX = 64;
const LOOK_AGAIN_MS = 100;
/** So long after it came a peer is given the rest of its neighbours. */
const TOP_UP_AFTER_MS = 500;
/** One that has too few neighbours although there seem to be more is looked at again after this. */
const THIN_AGAIN_MS = 2000;

/**
 * Brings a task in order after anything happened to it: answers who waits, finds a reader of the source when nobody else has the content.
 * It looks at what is, not at what changed, so a missed cause cannot leave anyone waiting for longer than a tick.
 */
export function reconcile(turn: Turn, task: Task, why: "event" | "tick"): void {
  if (!turn.cluster.activeTasks.has(task)) return;
  noticeStalls(turn, task);
  const roster = rosterOf(task, turn.moment);
  const isTick = why === "tick";
  const { hope, loss } = isTick || mayLookAtAll(turn, task) ? roster.takeNews(turn.moment.nowMs) : NO_NEWS;
  if (isTick) {
    tellOfHolders(task);
    tellToWait(turn, task);
  }
  if (loss || isTick) parkUnserved(turn, task);
  if (hope || loss || isTick || task.waiting.size <= WAITING_EAGER_MAX) answerWaiting(turn, task);
  if (loss || isTick || task.shareDue) shareSource(turn, task);
}

const NO_NEWS = { hope: false, loss: false };

const mayLookAtAll = ({ moment: { nowMs } }: Turn, { peers, roster }: Task): boolean =>
  peers.size <= EAGER_PEERS_MAX || nowMs - roster.newsTakenAtMs >= LOOK_AGAIN_MS;

/** Answers one that has just asked. It serves nobody yet, so for the others nothing has changed unless it is told to read the source. */
export function answerOne(turn: Turn, peer: Peer): void {
  const hopeless = answerRound(turn, [peer]);
  if (hopeless.length > 0 && appointReader(turn, peer.task, hopeless)) reconcile(turn, peer.task, "event");
}

/** Unasked offers to our own hosts; paced. */
export function pushDue(turn: Turn, due: Iterable<Peer>): void {
  const { nowMs } = turn.moment;
  for (const child of due) {
    if (turn.pushesLeft <= 0) return;
    if (!isPushable(child)) notDue(child);
    else if (nowMs >= child.pushableAtMs) lookAtDue(turn, child);
  }
}

function lookAtDue(turn: Turn, child: Peer): void {
  notDue(child);
  introduce(turn, child, "pushed");
  if (!isThin(child, turn.moment)) return;
  child.pushableAtMs = Math.max(child.pushableAtMs, turn.moment.nowMs + THIN_AGAIN_MS);
  beDue(child); // put last
}

/** Newcomers that want the content make themselves known to those that they are introduced to; these do not. */
function tellOfHolders(task: Task): void {
  const { roster } = task;
  if (!roster.holderCame) return;
  roster.holderCame = false;
  for (const peer of roster.traders.peers) beDue(peer);
}

function noticeStalls(turn: Turn, task: Task): void {
  const { nowMs, config } = turn.moment;
  for (const reader of task.readers) {
    if (reader.permit!.stalled || nowMs - reader.permit!.progressAtMs < config.sourceStallTimeoutMs) continue; // readers have a permit
    reader.permit!.stalled = true;
    task.roster.note(reader);
    note(turn, task, "source-stalled", { peer: reader, level: "warn", fields: { afterMs: config.sourceStallTimeoutMs } });
    touch(turn, task);
  }
  const { trigger } = task;
  if (trigger === undefined || nowMs - trigger.sinceMs < config.seedTriggerTimeoutMs) return;
  turn.cluster.endTrigger(task);
  task.triedSeeds.set(trigger.hostId, nowMs + config.seedTroubleMs);
  note(turn, task, "seed-overdue", { level: "warn", fields: { hostId: trigger.hostId } });
}

/**
 * Of ours, those that have neighbours, but such that all together lack a piece: they wait, without having to ask. A foreign peer asks by
 * itself.
 */
function parkUnserved(turn: Turn, task: Task): void {
  const roster = rosterOf(task, turn.moment);
  // In this order: what all have together is worked out anew after a loss.
  const isWhole = roster.roots.size > 0 || (task.layout !== undefined && roster.pieces.count >= task.layout.pieceCount);
  if (isWhole && task.due.size === 0) return;
  // Where others have everything, only those that lost all they were told of have to wait.
  for (const peer of isWhole ? task.due : task.peers.values()) {
    if (!isPushable(peer) || peer.permit !== undefined || peer.waitingSinceMs !== undefined) continue;
    if (!isWhole || !reachesAny(peer)) turn.cluster.startWaiting(peer, turn.moment.nowMs);
  }
}

const reachesAny = (peer: Peer): boolean => peer.neighbours.length + (peer.parents?.size ?? 0) > 0;

function answerWaiting(turn: Turn, task: Task): void {
  // Each round ends with one more reader or is the last.
  for (let round = 0; round <= task.peers.size; round++) {
    const hopeless = answerRound(turn, task.waiting);
    if (hopeless.length === 0 || !appointReader(turn, task, hopeless)) break;
  }
  for (const peer of task.waiting) if (isAnswerable(peer)) helpOut(turn, peer);
}

/** One that nobody could serve in time. It may have to wait for others that are helped so, but not for ever. */
function helpOut(turn: Turn, peer: Peer): void {
  if (!isRescueDue(turn, peer) || rescue(turn, peer)) return;
  const patienceMs = turn.moment.config.waitTimeoutMs * (mayReadSource(peer) ? RESCUE_PATIENCE : 1);
  if (waitedMs(turn, peer) < patienceMs) return;
  failPeer(turn, peer, "download.no-source", { reason: "no parent could be reached in time", waitedMs: waitedMs(turn, peer) });
}

const isAnswerable = (peer: Peer): boolean => isLive(peer.host) && peer.streamId !== undefined;

/** Offers to all that wait what they can have; returns those that have nothing to hope for. */
function answerRound(turn: Turn, waiting: Iterable<Peer>): Peer[] {
  const hopeless: Peer[] = [];
  for (const child of waiting) {
    if (!isAnswerable(child)) continue;
    if (child.fruitless >= turn.moment.config.fruitlessMax && rescue(turn, child)) continue;
    const answer = isOurs(child.host) ? answerOurs : answerForeign;
    answer(turn, child);
    if (child.waitingSinceMs !== undefined && !hasProspect(child, turn.moment)) hopeless.push(child);
  }
  return hopeless;
}

/** A foreign peer is told once for each time that it asks, and only of parents that have something. */
function answerForeign(turn: Turn, child: Peer): void {
  const choice = chooseParents(child, turn.moment);
  const { parents } = choice;
  if (parents.length === 0) keepWaiting(turn, child, choice.rejections, choice.relaxation);
  else {
    turn.cluster.stopWaiting(child);
    turn.cluster.setParents(child, parents);
    offer(turn, child, { ...choice, chosen: parents, because: "asked" });
  }
}

/** One of ours gets its neighbours at once, whatever they have, and waits with them until somebody has or reads everything. */
function answerOurs(turn: Turn, child: Peer): void {
  const served = isServed(child, turn.moment);
  if (!child.introduced) introduce(turn, child, "asked");
  else if (served && turn.pushesLeft > 0) introduce(turn, child, "pushed");
  else if (served) beDue(child);
  if (served && reachesAny(child)) turn.cluster.stopWaiting(child);
}

/** Finds it neighbours, and parents of other kinds, and says so where it is news. */
function introduce(turn: Turn, child: Peer, because: "asked" | "pushed"): void {
  const { moment } = turn;
  if (because === "pushed") turn.pushesLeft--;
  let more = moreNeighbours(child, moment, "none");
  const isRelaxed = child.neighbours.length + more.peers.length === 0 && more.rejections.blocked !== undefined;
  if (isRelaxed) more = moreNeighbours(child, moment, "blocks");
  for (const peer of more.peers) link(child, peer);
  const before = child.parents?.size ?? 0;
  const foreign = foreignParents(turn, child);
  const parentsChanged = foreign.parents.length !== before || foreign.parents.some((parent) => child.parents?.has(parent) !== true);
  const isNews = more.peers.length > 0 || parentsChanged || Math.max(0, child.keysTold) < child.task.readerKeysVersion;
  if (because === "pushed" && !isNews) return;
  const rejections = rejectionsOf(child, [more.rejections, foreign.rejections], foreign.parents.length);
  turn.cluster.setParents(child, foreign.parents);
  const relaxation = isRelaxed ? "blocks" : foreign.relaxation;
  if (!reachesAny(child)) return keepWaiting(turn, child, rejections, relaxation);
  const { parents, considered } = foreign;
  const chosen = parents.length === 0 ? more.peers : [...more.peers, ...parents];
  offer(turn, child, { parents, considered, chosen, relaxation, rejections, because });
}

/** Keeps good parents, since leaving them costs, and fills up with the best of the others. */
function foreignParents({ moment }: Turn, child: Peer): Choice {
  if ((child.parents?.size ?? 0) === 0 && rosterOf(child.task, moment).foreign.size === 0) return NO_CHOICE;
  const kept = [...(child.parents ?? [])].filter(
    (parent) =>
      !isOurs(parent.host) &&
      isPassing(rejectionOf({ child, parent, moment, relaxation: "blocks" })) &&
      !isBlocked(child, parent, { moment, relaxation: "none" }),
  );
  const { parents, ...choice } = chooseForeignParents(child, moment);
  // Who reads the source wants others only for what they have and it has not.
  const isWelcome = (parent: Peer): boolean => child.permit === undefined || child.pieces.missingFrom(parent.pieces) > 0;
  const fresh = parents.filter((parent) => !kept.includes(parent) && isWelcome(parent));
  return { ...choice, parents: withRoot([...kept, ...fresh], moment.config.parentsMax) };
}

const NO_CHOICE: Choice = { parents: [], considered: [], relaxation: "none", rejections: {} };

/** Every other peer is offered or turned down by a rule; by which, is known of those that were looked at. */
function rejectionsOf(child: Peer, looked: readonly Rejections[], parents: number): Rejections {
  const { peers, roster } = child.task;
  const sums: Partial<Record<Rejection, number>> = {};
  for (const rejections of [roster.traderRejections, ...looked])
    for (const [rule, count] of Object.entries(rejections) as [Rejection, number][]) add(sums, rule, count);
  const { trader } = child.filing;
  if (trader !== undefined) add(sums, trader, -1); // a child is no candidate for itself
  delete sums.outranked;
  const others = peers.size - 1 - child.neighbours.length - parents;
  const named = Object.values(sums).reduce((sum, count) => sum + count, 0);
  add(sums, "outranked", others - named);
  return sums;
}

function keepWaiting(turn: Turn, child: Peer, rejections: Rejections, relaxation: Relaxation): void {
  const before = child.lastDecision;
  // Told once for each kind of obstacle: with every peer that comes the counts change.
  if (before?.kind === "wait" && namesOf(before.rejections) === namesOf(rejections)) {
    child.lastDecision = { ...before, rejections };
    return;
  }
  decide(turn, child, "wait", { because: "no-candidates", rejections, what: { ...NOBODY, relaxation } });
  for (const rule of TROUBLES) {
    const count = rejections[rule];
    if (count !== undefined) warn(turn, child.task, rule, { peerId: child.id, count });
  }
  turn.effects.push({ do: "keepWaiting", peerId: child.id, rejections });
  note(turn, child.task, "peer-waits", { peer: child, fields: { ...rejections } });
}

/** Of what may leave one without a parent, what a person should hear of; the rest is how downloads begin. */
const TROUBLES = [
  "failed",
  "host-silent",
  "not-sharing",
  "distrusted",
  "different-content",
  "blocked",
  "upload-busy",
] as const satisfies readonly Rejection[];

/** How often ours are told that they stand in line; well within the patience that a daemon has. */
const TELL_TO_WAIT_MS = 30_000;

/** Lets those read the source whose turn has come, and tells those who are still in line. */
export function serveBudget(turn: Turn): void {
  if (!turn.cluster.budget.hasTurns) return;
  for (const task of turn.cluster.budget.turns()) reconcile(turn, task, "tick");
}

function tellToWait(turn: Turn, task: Task): void {
  const limit = turn.cluster.budget.limitOf(task);
  if (limit === undefined || !turn.cluster.budget.isToBeTold(task, turn.moment.nowMs, TELL_TO_WAIT_MS)) return;
  for (const peer of task.waiting) if (isPushable(peer)) turn.effects.push({ do: "tellToWait", peerId: peer.id, because: limit });
}

function offer(
  turn: Turn,
  child: Peer,
  about: Chosen & { readonly parents: readonly Peer[]; readonly rejections: Rejections; readonly because: "asked" | "pushed" },
): void {
  const { parents, rejections, because } = about;
  const { task } = child;
  child.introduced = true;
  const { nowMs, config } = turn.moment;
  child.pushableAtMs = nowMs + (wasIntroduced(child) ? config.pushIntervalMs : TOP_UP_AFTER_MS);
  child.keysTold = task.readerKeysVersion;
  if (isThin(child, turn.moment)) beDue(child);
  // One that does not share is nobody's neighbour, although it has some.
  const neighbours = child.neighbours.filter((peer) => task.roster.traders.has(peer));
  const unasked = because === "pushed";
  note(turn, task, "parents-offered", {
    peer: child,
    fields: { parents: parents.length, neighbours: neighbours.length, pushed: String(unasked), ...rejections },
  });
  const ids = { parents: parents.map(({ id }) => id), neighbours: neighbours.map(({ id }) => id) };
  decide(turn, child, "parents", { because, rejections, what: about });
  turn.effects.push({ do: "offerParents", peerId: child.id, ...ids, rejections, unasked });
}
