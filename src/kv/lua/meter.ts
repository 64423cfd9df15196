import { getHeapStatistics } from "node:v8";
import { ScriptStopped } from "./error.ts";

/** Loops and calls between two looks at the time: well below a millisecond's worth. */
const SLICE = 20_000;
/** Of the memory that V8 may use, what a script may leave in use. */
const HEAP_SHARE_MAX = 0.85;
/** A longer text would take V8's own limit for one string. */
export const STRING_BYTES_MAX = 256 * 1024 * 1024;
/** So many bytes of a long text count as one turn of a loop. */
const BYTES_PER_TURN = 512;

/** Counts what a script does, so that it can be stopped. Every loop and function of generated code takes one turn; so do long texts by their length. */
export class Meter {
  left = SLICE;
  #spent = 0;
  /** Called every few hundred microseconds of a script; throws `ScriptStopped` to end it. */
  onSlice: () => void = () => {};

  /** Taken so far. */
  get turns(): number {
    return this.#spent + SLICE - this.left;
  }

  tick(): void {
    this.#spent = this.turns;
    this.left = SLICE;
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    if (used > limit * HEAP_SHARE_MAX) throw new ScriptStopped("not enough memory");
    this.onSlice();
  }

  /** Work within a library: a long text, a step of a pattern. */
  charge(bytes: number): void {
    this.left -= bytes / BYTES_PER_TURN;
    if (this.left < 0) this.tick();
  }
}
