import { isPassing, rejectionOf, RELAXATIONS, type Moment, type Rejection, type Rejections, type Relaxation } from "./rules.ts";
import { scoreOf } from "./score.ts";
import { isReading, isWhole, type Peer } from "./state.ts";
import { PieceSet } from "./piece-set.ts";

/** Parents for a child, best first; with what spoke against every other peer of the task. */
export interface Choice {
  readonly parents: readonly Peer[];
  readonly relaxation: Relaxation;
  readonly rejections: Rejections;
  /** All other peers of the task: those chosen and those rejected. */
  readonly considered: number;
}

/** Every peer of the task is looked at, and only then the best are taken: sampling first would miss the one that has it. */
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
  const together = new PieceSet();
  together.mergeSet(child.pieces);
  for (const parent of task.peers.values()) {
    if (parent === child || !isPassing(rejectionOf({ child, parent, moment, relaxation: "none" }))) continue;
    if (isWhole(parent) || isReading(parent)) return true;
    together.mergeSet(parent.pieces);
  }
  const count = (child.layout ?? task.layout)?.pieceCount;
  return count !== undefined && together.count >= count;
}

function chooseRelaxed(child: Peer, moment: Moment, relaxation: Relaxation): Choice {
  const rejections: Partial<Record<Rejection, number>> = {};
  const accepted: Peer[] = [];
  const { peers } = child.task;
  for (const parent of peers.values()) {
    if (parent === child) continue;
    const rejection = rejectionOf({ child, parent, moment, relaxation });
    if (rejection === undefined) accepted.push(parent);
    else add(rejections, rejection, 1);
  }
  const considered = peers.size - (peers.has(child.id) ? 1 : 0);
  // Peers that have nothing yet and wait for each other would wait for ever.
  if (!accepted.some((parent) => parent.pieces.count > 0 || parent.state === "succeeded" || isReading(parent))) {
    add(rejections, "empty", accepted.length);
    return { parents: [], relaxation, rejections, considered };
  }
  const parents = best(child, accepted, moment);
  add(rejections, "outranked", accepted.length - parents.length);
  return { parents, relaxation, rejections, considered };
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

const isRoot = (peer: Peer): boolean => isWhole(peer) || isReading(peer);

function add(rejections: Partial<Record<Rejection, number>>, name: Rejection, by: number): void {
  if (by > 0) rejections[name] = (rejections[name] ?? 0) + by;
}
