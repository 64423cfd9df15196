import { PieceSet } from "./piece-set.ts";
import { standingRejectionOf, type Moment, type StandingRejection } from "./rules.ts";
import { isReading, isWhole, type Peer, type Task } from "./state.ts";

/** Who of a task can serve anybody at all, found once in a turn: with a thousand children the rest is done a thousand times. */
export interface Serving {
  /** Of the task when this was found. */
  readonly version: number;
  readonly peers: readonly Peer[];
  /** Those that have everything, or will because they read the source. */
  readonly roots: readonly Peer[];
  readonly rejections: Readonly<Partial<Record<StandingRejection, number>>>;
  /** What they have together. */
  readonly pieces: PieceSet;
}

export function servingOf(task: Task, moment: Moment): Serving {
  const known = moment.serving.get(task);
  if (known?.version === task.version) return known;
  const peers: Peer[] = [];
  const pieces = new PieceSet();
  const rejections: Partial<Record<StandingRejection, number>> = {};
  for (const peer of task.peers.values()) {
    const rejection = standingRejectionOf(peer, moment);
    if (rejection === undefined) {
      peers.push(peer);
      pieces.mergeSet(peer.pieces);
    } else {
      rejections[rejection] = (rejections[rejection] ?? 0) + 1;
    }
  }
  const serving = { version: task.version, peers, roots: peers.filter(isRoot), rejections, pieces };
  moment.serving.set(task, serving);
  return serving;
}

export const isRoot = (peer: Peer): boolean => isWhole(peer) || isReading(peer);
