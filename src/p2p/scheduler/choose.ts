import { PieceSet } from "./piece-set.ts";
import {
  isPassing,
  pairRejectionOf,
  RELAXATIONS,
  standingRejectionOf,
  type Moment,
  type Rejection,
  type Rejections,
  type Relaxation,
} from "./rules.ts";
import { hashOf, scoreOf } from "./score.ts";
import { isRoot, servingOf, type Serving } from "./serving.ts";
import type { Peer } from "./state.ts";

/** Parents for a child, best first; with what spoke against every other peer of the task. */
export interface Choice {
  readonly parents: readonly Peer[];
  readonly rejections: Rejections;
}

/** Candidates that are compared. More would give each of thousands a hardly better parent at a cost that grows with their square. */
const COMPARED_MAX = 48;
/** Of these, those that have everything and are looked at first. */
const ROOTS_FIRST = 8;

/**
 * All peers pass the rules before any choice is made: sampling first would miss the one that has the content. Of very many that would do,
 * different ones are compared for each child.
 */
export function chooseParents(child: Peer, moment: Moment): Choice {
  const strict = chooseRelaxed(child, moment, "none");
  const liftable = strict.rejections.blocked !== undefined || strict.rejections["upload-busy"] !== undefined;
  if (strict.parents.length > 0 || !liftable) return strict;
  const relaxed = RELAXATIONS.values().map((relaxation) => chooseRelaxed(child, moment, relaxation));
  return relaxed.find((choice) => choice.parents.length > 0) ?? strict;
}

/**
 * True when the child can get everything without a new reader of the source: from one who has it all, from one who reads it now, or from
 * several together. What only time stands against counts as there.
 */
export function hasProspect(child: Peer, moment: Moment): boolean {
  const { task } = child;
  if (task.trigger !== undefined && task.trigger.hostId !== child.host.facts.id) return true;
  const serving = servingOf(task, moment);
  const passes = (parent: Peer): boolean => parent !== child && isPassing(pairRejectionOf({ child, parent, moment, relaxation: "none" }));
  if (serving.roots.some(passes)) return true;
  const count = (child.layout ?? task.layout)?.pieceCount;
  if (count === undefined || count - child.pieces.count > child.pieces.missingFrom(serving.pieces)) return false;
  const together = new PieceSet();
  together.mergeSet(child.pieces);
  for (const parent of serving.peers) if (passes(parent)) together.mergeSet(parent.pieces);
  return together.count >= count;
}

function chooseRelaxed(child: Peer, moment: Moment, relaxation: Relaxation): Choice {
  const serving = servingOf(child.task, moment);
  const rejections: Partial<Record<Rejection, number>> = { ...serving.rejections };
  const own = standingRejectionOf(child, moment);
  if (own !== undefined) add(rejections, own, -1); // a child is no candidate for itself
  const accepted: Peer[] = [];
  let looked = 0;
  for (const parent of candidates(child, serving)) {
    looked++;
    const rejection = pairRejectionOf({ child, parent, moment, relaxation });
    if (rejection === undefined) accepted.push(parent);
    else add(rejections, rejection, 1);
    if (accepted.length === COMPARED_MAX) break;
  }
  const total = serving.peers.length - (own === undefined ? 1 : 0);
  const parents = best(child, accepted, moment);
  add(rejections, "outranked", total - looked + accepted.length - parents.length);
  return { parents, rejections };
}

/** Everybody once, from a place that differs from child to child, but some of those that have everything before the others. */
function* candidates(child: Peer, { peers, roots }: Serving): Generator<Peer> {
  const first = new Set(roundFrom(child, roots).take(ROOTS_FIRST));
  for (const parent of first) if (parent !== child) yield parent;
  for (const parent of roundFrom(child, peers)) if (parent !== child && !first.has(parent)) yield parent;
}

function* roundFrom(child: Peer, peers: readonly Peer[]): Generator<Peer> {
  const start = peers.length === 0 ? 0 : hashOf(child.id) % peers.length;
  for (let n = 0; n < peers.length; n++) yield peers[(start + n) % peers.length]!; // within the list
}

/** The best by score. */
function best(child: Peer, accepted: readonly Peer[], moment: Moment): readonly Peer[] {
  const ranked = accepted
    .map((parent) => ({ parent, score: scoreOf(child, parent, moment) }))
    .toSorted((a, b) => b.score - a.score)
    .map(({ parent }) => parent);
  return withRoot(ranked, moment.config.parentsMax);
}

/** The first `max`, with one that has or gets everything among them where there is one, so that no piece is out of reach. */
export function withRoot(parents: readonly Peer[], max: number): readonly Peer[] {
  const top = parents.slice(0, max);
  const root = parents.find(isRoot);
  return root === undefined || top.some(isRoot) ? top : [...top.slice(0, -1), root];
}

function add(rejections: Partial<Record<Rejection, number>>, name: Rejection, by: number): void {
  const sum = (rejections[name] ?? 0) + by;
  if (sum > 0) rejections[name] = sum;
  else delete rejections[name];
}
