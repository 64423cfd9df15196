import type { Clock } from "../base/clock.ts";

/** What V8 does with the young generation. */
export interface YoungGeneration {
  /** Of both of its halves. */
  readonly bytes: () => number;
  readonly mayGrow: (may: boolean) => void;
}

const WINDOW_MS = 1000;
/** Downloads that begin in one window; from so many on the garbage is theirs, not that of buffers. */
const MANY = 32;
/** Between two looks: V8 doubles the size with some collections, of which there are two for five downloads. */
const LOOK_EVERY = 4;
const BYTES_MAX = 8 * 1024 * 1024;

/**
 * Lets the young generation grow to 8 MiB while many downloads begin. With the 2 MiB that it has for good reasons (see `keepHeapSmall`) it is
 * collected twice for each five small files, and each time all that belongs to those under way is copied: a third of the CPU time went there.
 * V8 makes it small again when less is allocated.
 */
export class YoungGrowth implements Disposable {
  readonly #young: YoungGeneration;
  readonly #clock: Pick<Clock, "timer">;
  #begun = 0;
  #window: Disposable | undefined;

  constructor(young: YoungGeneration, clock: Pick<Clock, "timer">) {
    this.#young = young;
    this.#clock = clock;
  }

  downloadBegan(): void {
    this.#window ??= this.#clock.timer(WINDOW_MS, () => this[Symbol.dispose]());
    this.#begun++;
    if (this.#begun >= MANY && this.#begun % LOOK_EVERY === 0) this.#young.mayGrow(this.#young.bytes() < BYTES_MAX);
  }

  [Symbol.dispose](): void {
    this.#window?.[Symbol.dispose]();
    this.#window = undefined;
    if (this.#begun >= MANY) this.#young.mayGrow(false);
    this.#begun = 0;
  }
}
