import type { StoredTask } from "../../pieces/types.ts";

/** Pieces that wait to be read again; a piece too many is complained of again by whoever asks for it next. */
const WAITING_MAX = 16;
/** So many pieces that were in order after all, and a neighbour's complaints are not heard any more: each costs reading a piece. */
const FALSE_ALARMS_MAX = 4;

export interface Complainant {
  /** Pieces that it complained of and that were in order. */
  falseAlarms: number;
}

/**
 * Pieces that neighbours say arrived damaged from here. A complaint proves nothing: it makes this host read the piece again, one at a time,
 * and only what does not agree with its own checksum is dropped.
 */
export class Doubts {
  readonly #waiting = new Map<number, Complainant>();
  readonly #run: (work: Promise<void>) => void;
  #working = false;

  /** `run` takes over what is under way. */
  constructor(run: (work: Promise<void>) => void) {
    this.#run = run;
  }

  hear(stored: StoredTask | undefined, pieces: readonly number[], from: Complainant): void {
    if (stored === undefined || from.falseAlarms >= FALSE_ALARMS_MAX) return;
    for (const piece of pieces) if (this.#waiting.size < WAITING_MAX && piece < stored.meta.pieceCount) this.#waiting.set(piece, from);
    if (this.#working || this.#waiting.size === 0) return;
    this.#working = true;
    this.#run(this.#check(stored).finally(() => (this.#working = false)));
  }

  async #check(stored: StoredTask): Promise<void> {
    for (const [piece, from] of this.#waiting) {
      this.#waiting.delete(piece);
      if (from.falseAlarms >= FALSE_ALARMS_MAX || !stored.finished.has(piece)) continue;
      if ((await stored.quarantinePiece(piece)) === "intact") from.falseAlarms++;
    }
  }
}
