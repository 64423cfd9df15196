import type { Clock } from "../base/clock.ts";

/** What V8 does with its heap. */
export interface Generations {
  /** Of both halves of the young one. */
  readonly youngBytes: () => number;
  readonly youngMayGrow: (may: boolean) => void;
  readonly oldMayGrow: (may: boolean) => void;
}

const WINDOW_MS = 1000;
/** Downloads that begin in one window; from so many on the garbage is theirs, not that of buffers. */
const MANY = 32;
/** Between two looks: V8 doubles the size with some collections, of which there are two for five downloads. */
const LOOK_EVERY = 4;
const BYTES_MAX = 32 * 1024 * 1024;

/**
 * Lets the young generation grow to 32 MiB while many downloads begin, and the old one by more than usual. With the 2 MiB that the young one has for
 * good reasons (see `keepHeapSmall`) it is collected twice for each five small files, and each time all that belongs to those under way is copied: a
 * third of the CPU time went there; with 8 MiB still a sixth. What many small tasks leave for good lets the old one grow, too: to look through all of it for each tenth that it
 * grew, nine times for a thousand files, took a quarter of the process's CPU time, on other threads. V8 makes the young one small again when less is allocated.
 */
export class HeapGrowth implements Disposable {
  readonly #heap: Generations;
  readonly #clock: Pick<Clock, "timer">;
  #begun = 0;
  #window: Disposable | undefined;

  constructor(heap: Generations, clock: Pick<Clock, "timer">) {
    this.#heap = heap;
    this.#clock = clock;
  }

  downloadBegan(): void {
    this.#window ??= this.#clock.timer(WINDOW_MS, () => this[Symbol.dispose]());
    this.#begun++;
    if (this.#begun === MANY) this.#heap.oldMayGrow(true);
    if (this.#begun >= MANY && this.#begun % LOOK_EVERY === 0) this.#heap.youngMayGrow(this.#heap.youngBytes() < BYTES_MAX);
  }

  [Symbol.dispose](): void {
    this.#window?.[Symbol.dispose]();
    this.#window = undefined;
    if (this.#begun >= MANY) {
      this.#heap.youngMayGrow(false);
      this.#heap.oldMayGrow(false);
    }
    this.#begun = 0;
  }
}
