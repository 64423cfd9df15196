/** What of a request its neighbour is judged by. */
interface Waited {
  /** Of its last byte, or of the request; on the clock of `Patience.nowMs`. */
  readonly progressMs: number;
  readonly receivedBytes: number;
}

/** Between two looks no more than so many times the usual counts: for the rest this host was not there to hear anything. */
const LOOKS_MAX = 2;
/** Before its first byte a piece may take longer: it may still be on its way to the neighbour. */
const FIRST_BYTE = 2;
/** While nothing comes from anybody, the trouble is hardly one neighbour's, and nobody else would be quicker. */
const ALL_SILENT = 4;
/** Over slow links the gaps between the blocks of a piece are a good part of what it takes, and grow with each hop. */
const PIECE_SHARE = 1 / 2;

/**
 * How long a neighbour may be silent before a piece is asked of another. Its clock stands still while this host is held up, by its processors
 * or its disk: everything that came meanwhile is read only after the deadlines have been looked at.
 */
export class Patience {
  readonly #stallMs: number;
  readonly #lookMs: number;
  #nowMs = 0;
  #lookedMs: number;
  #cameMs = 0;

  /** `lookMs`: how often `look` is called at best. */
  constructor(stallMs: number, lookMs: number, clockMs: number) {
    this.#stallMs = stallMs;
    this.#lookMs = lookMs;
    this.#lookedMs = clockMs;
  }

  /** Milliseconds in which this host could hear, until the last look. */
  get nowMs(): number {
    return this.#nowMs;
  }

  look(clockMs: number): void {
    this.#nowMs += Math.min(clockMs - this.#lookedMs, this.#lookMs * LOOKS_MAX);
    this.#lookedMs = clockMs;
  }

  /** Something came of a piece, from whomever; true when that is news. */
  came(atMs: number): boolean {
    const isNews = atMs > this.#cameMs;
    if (isNews) this.#cameMs = atMs;
    return isNews;
  }

  /** For how long nothing may have come of it; undefined while that has not passed. `pieceMs`: what pieces take lately. */
  exceededBy({ progressMs, receivedBytes }: Waited, pieceMs: number): number | undefined {
    const stallMs = Math.max(this.#stallMs, pieceMs * PIECE_SHARE);
    const isSilent = this.#nowMs - this.#cameMs >= stallMs;
    const patienceMs = stallMs * (receivedBytes === 0 ? FIRST_BYTE : 1) * (isSilent ? ALL_SILENT : 1);
    return this.#nowMs - progressMs < patienceMs ? undefined : patienceMs;
  }
}
