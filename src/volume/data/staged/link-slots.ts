import type { Clock } from "../../../base/clock.ts";
import { Semaphore } from "../../../base/limits.ts";

/** One that takes longer shares the link with too many: who waits for it is told that nothing moves. */
const SLOW_MS = 4000;
/** One that takes less leaves room for another beside it. */
const QUICK_MS = 1500;
/** To begin with, as nothing is known of the link. */
const FIRST = 2;

export interface LinkSlotsOptions {
  readonly most: number;
  readonly waitingMax: number;
  readonly clock: Clock;
}

/** How many transfers share a link: more while each is quick, fewer while each is slow, at least one. */
export class LinkSlots {
  readonly #options: LinkSlotsOptions;
  readonly #slots: Semaphore;
  /** Slots that nobody gets now. */
  readonly #kept: Disposable[] = [];

  constructor(options: LinkSlotsOptions) {
    this.#options = options;
    this.#slots = new Semaphore({ slots: options.most, waitingMax: options.waitingMax });
    for (let kept = FIRST; kept < options.most; kept++) this.#kept.push(this.#slots.tryAcquire()!); // nobody else has one yet
  }

  /** Throws what `work` throws, `limit.exceeded`, the signal's reason while it waits for a slot. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { clock, most } = this.#options;
    const slot = await this.#slots.acquire(signal);
    const startedMs = clock.nowMs();
    try {
      return await work();
    } finally {
      const ms = clock.nowMs() - startedMs;
      if (ms > SLOW_MS && this.#kept.length < most - 1) this.#kept.push(slot);
      else slot[Symbol.dispose]();
      if (ms < QUICK_MS) this.#kept.pop()?.[Symbol.dispose]();
    }
  }
}
