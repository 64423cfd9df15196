import { pairOf, type PlannedMove } from "./plan.ts";

const REST_MS = 5000;
const REST_MS_MAX = 300_000;

/** Moves that were begun and have come to nothing: between the same two nodes none begins for a while, each time for twice as long. */
export class FailedMoves {
  readonly #ownerOf: (slot: number) => string;
  readonly #begun = new Map<string, PlannedMove>();
  readonly #rests = new Map<string, { readonly times: number; readonly untilMs: number }>();

  constructor(ownerOf: (slot: number) => string) {
    this.#ownerOf = ownerOf;
  }

  begun(move: PlannedMove): void {
    this.#begun.set(pairOf(move), move);
  }

  /** Pairs that rest, by what is under way now and whose the slots are. */
  after(moving: readonly PlannedMove[], nowMs: number): ReadonlySet<string> {
    const open = new Set(moving.map(pairOf));
    for (const [pair, move] of this.#begun) {
      if (open.has(pair)) continue;
      this.#begun.delete(pair);
      if (this.#ownerOf(move.ranges[0]!.start) !== move.from) this.#rests.delete(pair); // a move has slots
      else {
        const times = 1 + (this.#rests.get(pair)?.times ?? 0);
        this.#rests.set(pair, { times, untilMs: nowMs + Math.min(REST_MS_MAX, REST_MS * 2 ** (times - 1)) });
      }
    }
    return new Set([...this.#rests].filter(([, { untilMs }]) => nowMs < untilMs).map(([pair]) => pair));
  }

  clear(): void {
    this.#begun.clear();
    this.#rests.clear();
  }
}
