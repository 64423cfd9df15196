import { hashOf } from "../../base/fnv.ts";
import { PieceSet } from "./piece-set.ts";
import { isRoot, rosterOf, type Bag } from "./roster.ts";
import {
  add,
  isPassing,
  pairRejectionOf,
  RELAXATIONS,
  standingRejectionOf,
  type Moment,
  type Rejection,
  type Rejections,
  type Relaxation,
} from "./rules.ts";
import { scoreOf } from "./score.ts";
import type { Peer } from "./state.ts";

/** Parents for a child, best first; with what spoke against every other candidate. */
export interface Choice {
  readonly parents: readonly Peer[];
  /** Those that passed, best first. */
  readonly considered: readonly Ranked[];
  /** Which rules were overlooked for it. */
  readonly relaxation: Relaxation;
  readonly rejections: Rejections;
}

export interface Ranked {
  readonly parent: Peer;
  readonly score: number;
}

/** Candidates that are compared. More would give each of thousands a hardly better parent at a cost that grows with their square. */
const COMPARED_MAX = 48;
/** Of these, those that have everything and are looked at first. */
const ROOTS_FIRST = 8;

/**
 * The classic choice, for a peer that is not ours. All peers pass the rules before any choice is made: sampling first would miss the one
 * that has the content. Of very many that would do, different ones are compared for each child.
 */
export function chooseParents(child: Peer, moment: Moment): Choice {
  const roster = rosterOf(child.task, moment);
  const rejections: Partial<Record<Rejection, number>> = { ...roster.parentRejections };
  const own = standingRejectionOf(child, moment);
  if (own !== undefined) add(rejections, own, -1); // a child is no candidate for itself
  return chooseFrom({ child, moment, among: roster.parents, roots: roster.roots, rejections });
}

/** For one of ours that trades with its like: parents of other kinds only. */
export const chooseForeignParents = (child: Peer, moment: Moment): Choice =>
  chooseFrom({ child, moment, among: rosterOf(child.task, moment).foreign, roots: undefined, rejections: {} });

/**
 * True when the child can get everything without a new reader of the source: from one who has it all, from one who reads it now, or from
 * several together. What only time stands against counts as there.
 */
export const hasProspect = (child: Peer, moment: Moment): boolean => isOrdered(child) || isServed(child, moment);

/** Somebody else was told to fetch it for all. */
const isOrdered = ({ task: { trigger }, host }: Peer): boolean => trigger !== undefined && trigger.hostId !== host.facts.id;

/** As `hasProspect`, from those that are there now. */
export function isServed(child: Peer, moment: Moment): boolean {
  const { task } = child;
  const roster = rosterOf(task, moment);
  const passes = (parent: Peer): boolean => parent !== child && isPassing(pairRejectionOf({ child, parent, moment, relaxation: "none" }));
  if (roster.roots.peers.some(passes)) return true;
  const count = (child.layout ?? task.layout)?.pieceCount;
  if (count === undefined || count - child.pieces.count > child.pieces.missingFrom(roster.pieces)) return false;
  const together = new PieceSet();
  together.mergeSet(child.pieces);
  for (const parent of roster.parents.peers) {
    if (passes(parent)) together.mergeSet(parent.pieces);
    if (together.count >= count) return true;
  }
  return false;
}

interface Question {
  readonly child: Peer;
  readonly moment: Moment;
  readonly among: Bag;
  /** Looked at first. */
  readonly roots: Bag | undefined;
  /** What spoke against those that are not in `among`. */
  readonly rejections: Rejections;
}

function chooseFrom(question: Question): Choice {
  const strict = chooseRelaxed(question, "none");
  const liftable = strict.rejections.blocked !== undefined || strict.rejections["upload-busy"] !== undefined;
  if (strict.parents.length > 0 || !liftable) return strict;
  const relaxed = RELAXATIONS.values().map((relaxation) => chooseRelaxed(question, relaxation));
  return relaxed.find((choice) => choice.parents.length > 0) ?? strict;
}

function chooseRelaxed({ child, moment, among, roots, ...rest }: Question, relaxation: Relaxation): Choice {
  const rejections: Partial<Record<Rejection, number>> = { ...rest.rejections };
  const accepted: Peer[] = [];
  let looked = 0;
  for (const parent of candidates(child, among.peers, roots?.peers ?? [])) {
    looked++;
    const rejection = pairRejectionOf({ child, parent, moment, relaxation });
    if (rejection === undefined) accepted.push(parent);
    else add(rejections, rejection, 1);
    if (accepted.length === COMPARED_MAX) break;
  }
  const total = among.size - (among.has(child) ? 1 : 0);
  const considered = rankedOf(child, accepted, moment);
  const parents = best(considered, moment);
  add(rejections, "outranked", total - looked + accepted.length - parents.length);
  return { parents, considered, relaxation, rejections };
}

/** Everybody once, from a place that differs from child to child, but some of those that have everything before the others. */
function* candidates(child: Peer, peers: readonly Peer[], roots: readonly Peer[]): Generator<Peer> {
  const first = new Set(roundFrom(child, roots).take(ROOTS_FIRST));
  for (const parent of first) if (parent !== child) yield parent;
  for (const parent of roundFrom(child, peers)) if (parent !== child && !first.has(parent)) yield parent;
}

function* roundFrom(child: Peer, peers: readonly Peer[]): Generator<Peer> {
  const start = peers.length === 0 ? 0 : hashOf(child.id) % peers.length;
  for (let n = 0; n < peers.length; n++) yield peers[(start + n) % peers.length]!; // within the list
}

const rankedOf = (child: Peer, accepted: readonly Peer[], moment: Moment): readonly Ranked[] =>
  accepted.map((parent) => ({ parent, score: scoreOf(child, parent, moment) })).toSorted((a, b) => b.score - a.score);

const best = (ranked: readonly Ranked[], moment: Moment): readonly Peer[] =>
  withRoot(
    ranked.map(({ parent }) => parent),
    moment.config.parentsMax,
  );

/** The first `max`, with one that has or gets everything among them where there is one, so that no piece is out of reach. */
export function withRoot(parents: readonly Peer[], max: number): readonly Peer[] {
  const top = parents.slice(0, max);
  const root = parents.find(isRoot);
  return root === undefined || top.some(isRoot) ? top : [...top.slice(0, -1), root];
}
