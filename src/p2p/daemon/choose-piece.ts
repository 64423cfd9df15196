import type { Random } from "../../base/random.ts";

/** A parent as the choice sees it. */
export interface Holder {
  /** May be asked now: neither given up nor in its pause after a failure. */
  readonly ready: boolean;
  /** Requests under way to it, those of other downloads included. */
  readonly inFlight: number;
  has(index: number): boolean;
}

export interface Choice<H extends Holder> {
  readonly index: number;
  readonly holder: H;
}

/** Pieces looked at for one choice; bounds its cost on tasks with a million pieces. */
const LOOK_MAX = 2048;

/**
 * The next piece to fetch and whom to ask for it: a random one among the rarest of the wanted pieces that somebody holds, so that
 * peers that start together end up with different pieces to trade; from the least busy of its holders.
 */
export function choosePiece<H extends Holder>(options: {
  readonly pieceCount: number;
  /** Neither held nor on its way. */
  readonly wanted: (index: number) => boolean;
  readonly holders: readonly H[];
  readonly inFlightMax: number;
  readonly random: Random;
}): Choice<H> | undefined {
  const { pieceCount, wanted, random } = options;
  const able = options.holders.filter((holder) => holder.ready && holder.inFlight < options.inFlightMax);
  if (able.length === 0 || pieceCount === 0) return undefined;
  const start = random.below(pieceCount);
  let rarest = Infinity;
  let chosen: number | undefined;
  let looked = 0;
  let ties = 0;
  for (let step = 0; step < pieceCount && looked < LOOK_MAX; step++) {
    const index = (start + step) % pieceCount;
    if (!wanted(index)) continue;
    const copies = copiesOf(able, index);
    if (copies === 0) continue;
    looked++;
    if (copies > rarest) continue;
    ties = copies < rarest ? 1 : ties + 1;
    rarest = copies;
    if (random.below(ties) === 0) chosen = index; // reservoir of one: each tie is equally likely to stay
  }
  if (chosen === undefined) return undefined;
  return { index: chosen, holder: leastBusyOf(able, chosen, random) };
}

function copiesOf(holders: readonly Holder[], index: number): number {
  let copies = 0;
  for (const holder of holders) if (holder.has(index)) copies++;
  return copies;
}

function leastBusyOf<H extends Holder>(holders: readonly H[], index: number, random: Random): H {
  const having = random.shuffle(holders.filter((holder) => holder.has(index)));
  return having.reduce((best, holder) => (holder.inFlight < best.inFlight ? holder : best));
}
