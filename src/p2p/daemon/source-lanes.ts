import type { SourceRun } from "./source-plan.ts";

/** The connection that is there from the beginning to the end. */
export const FIRST_LANE = 0;

interface Span {
  readonly first: number;
  readonly end: number;
}

/**
 * Which pieces are being read over which of several connections to one source. They read in the order of the content, a little at a time, so
 * that what is read first can be given on, and left to others, in its order as well. The first one goes on with whatever nobody else reads.
 */
export class SourceLanes {
  readonly #spans = new Map<number, Span>();
  readonly #readByOthers = new Set<number>();

  /** Whether the piece is this lane's to read, as far as the others are concerned. */
  isFree(lane: number, piece: number): boolean {
    return !this.#spans.entries().some(([other, span]) => other !== lane && other !== FIRST_LANE && isIn(span, piece));
  }

  /** Another connection than the first has read it. */
  wasRead(piece: number): boolean {
    return this.#readByOthers.has(piece);
  }

  /** The lane reads this run, and no longer what it read before. */
  begin(lane: number, { firstIndex, count }: SourceRun): void {
    this.#spans.set(lane, { first: firstIndex, end: firstIndex + count });
  }

  /** Without a run, or with one that has failed, a lane has nothing. */
  end(lane: number, isHeld: (piece: number) => boolean): void {
    const span = this.#spans.get(lane);
    this.#spans.delete(lane);
    if (span === undefined || lane === FIRST_LANE) return;
    for (let piece = span.first; piece < span.end; piece++) if (isHeld(piece)) this.#readByOthers.add(piece);
  }

  /** From where on others read: behind what the first one reads now, or behind the next `most` pieces of that. */
  startOfOthers(isHeld: (piece: number) => boolean, most: number): number {
    const span = this.#spans.get(FIRST_LANE);
    if (span === undefined) return 0;
    let next = span.first;
    while (next < span.end && isHeld(next)) next++;
    return Math.min(span.end, next + most);
  }
}

const isIn = ({ first, end }: Span, piece: number): boolean => piece >= first && piece < end;
