import { RecentMean } from "../../../base/recent-mean.ts";

/** A piece has spread within so many times what it takes to be sent once: others pass it on while it still arrives. */
const SENDS = 4;

/**
 * Unique pieces first: who reads the source offers a piece to all until it has gone to somebody, and then leaves it to that one to spread it for a
 * while. So its uplink carries each piece once before any twice (simulated: 1.03 times the bound with it, 1.10 without).
 * Once the while is over the piece is offered again: whoever got it may have died. Over a slow link the while is longer, since a piece
 * that is offered again while it is still being sent takes the place of one that nobody has.
 */
export class Offers {
  readonly #reofferMs: number;
  readonly #sentMs = new Map<number, number>();
  readonly #sendMs = new RecentMean();

  constructor(reofferMs: number) {
    this.#reofferMs = reofferMs;
  }

  isOffered(piece: number): boolean {
    return !this.#sentMs.has(piece);
  }

  sent(piece: number, nowMs: number): void {
    this.#sentMs.delete(piece); // the map keeps its order of time
    this.#sentMs.set(piece, nowMs);
  }

  /** To send a piece took so long. */
  took(ms: number): void {
    this.#sendMs.add(ms);
  }

  /** Pieces that are offered again from now on. `isThere`: some neighbour has the piece, or gets it. */
  due(nowMs: number, isThere: (piece: number) => boolean): number[] {
    const due: number[] = [];
    for (const [piece, sentMs] of this.#sentMs) {
      const heldMs = nowMs - sentMs;
      if (heldMs < this.#reofferMs) break; // the map is in order of time
      if (heldMs >= this.#sendMs.value * SENDS || !isThere(piece)) due.push(piece);
    }
    for (const piece of due) this.#sentMs.delete(piece);
    return due;
  }

  /** Everything is offered from now on; returns what was not. */
  all(): number[] {
    const pieces = [...this.#sentMs.keys()];
    this.#sentMs.clear();
    return pieces;
  }

  /** Pieces held back now. */
  get heldBack(): ReadonlyMap<number, number> {
    return this.#sentMs;
  }
}
