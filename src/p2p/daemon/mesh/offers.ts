/**
 * Unique pieces first: who reads the source offers a piece to all until it has gone to somebody, and then leaves it to that one to spread it for a
 * while. So its uplink carries each piece once before any twice (simulated: 1.03 times the bound with it, 1.10 without).
 * Once the while is over the piece is offered again: whoever got it may have died.
 */
export class Offers {
  readonly #reofferMs: number;
  readonly #sentMs = new Map<number, number>();

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

  /** Pieces that are offered again from now on. */
  due(nowMs: number): number[] {
    const due: number[] = [];
    for (const [piece, sentMs] of this.#sentMs) {
      if (nowMs - sentMs < this.#reofferMs) break; // the map is in order of time
      due.push(piece);
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
