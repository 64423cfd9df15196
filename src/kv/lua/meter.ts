import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ScriptStopped } from "./error.ts";

/** Loops and calls between two looks at the time: well below a millisecond's worth. */
const SLICE = 20_000;
/** Of the memory that V8 has left when a script begins, what it may hold: what it holds grows by being copied, to up to twice as much, and some of what is left is only for what is new. */
const HEAP_SHARE_MAX = 1 / 6;
/** A longer text would take V8's own limit for one string. */
export const STRING_BYTES_MAX = 256 * 1024 * 1024;
/** So many bytes of a long text count as one turn of a loop. */
const BYTES_PER_TURN = 512;

/** Counts what a script does, so that it can be stopped. Every loop and function of generated code takes one turn; so do long texts by their length. */
export class Meter {
  left = SLICE;
  #spent = 0;
  /** Bytes of the heap in use when the script began; undefined: it has only begun. */
  #base: number | undefined;
  /** Bytes in use after the last collection that was asked for, 0 before. */
  #held = 0;
  /** Called every few hundred microseconds of a script; throws `ScriptStopped` to end it. */
  onSlice: () => void = () => {};

  /** Taken so far. */
  get turns(): number {
    return this.#spent + SLICE - this.left;
  }

  /** A script begins. */
  begin(onSlice: () => void): void {
    this.onSlice = onSlice;
    this.#base = undefined;
  }

  end(): void {
    this.onSlice = () => {};
  }

  tick(): void {
    this.#spent = this.turns;
    this.left = SLICE;
    this.#limitHeap();
    this.onSlice();
  }

  /** Work within a library: a long text, a step of a pattern. */
  charge(bytes: number): void {
    this.left -= bytes / BYTES_PER_TURN;
    if (this.left < 0) this.tick();
  }

  #limitHeap(): void {
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    const base = (this.#base ??= this.#held === 0 ? used : Math.min(used, this.#held));
    const share = (limit - base) * HEAP_SHARE_MAX;
    if (used <= Math.max(base + share, this.#held + share / 4)) return;
    // Much of it may be garbage, and so may what was in use when the script began.
    collectGarbage();
    const { used_heap_size: held } = getHeapStatistics();
    this.#base = Math.min(base, held);
    this.#held = held;
    if (held <= this.#base + share) return;
    this.#held = this.#base; // what the script holds goes with it
    throw new ScriptStopped("not enough memory");
  }
}

/** Node offers it only behind a flag, which can be given at any time. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}
