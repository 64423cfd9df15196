import type { Clock } from "../../../base/clock.ts";
import type { LinkRates } from "../rates/types.ts";
import { SlotLimit } from "./slot-limit.ts";

export interface UploadSlotsOptions {
  /** Slots while nothing is known of the link. */
  readonly first: number;
  readonly link: () => LinkRates;
  readonly clock: Pick<Clock, "nowMs">;
}

/** How many pieces are sent to neighbours at once, of all tasks. Who finds no slot is told so at once, and called when there is one. */
export class UploadSlots {
  readonly #options: UploadSlotsOptions;
  readonly #limit: SlotLimit;
  #inUse = 0;
  readonly #refused = new Set<() => void>();
  /** Calls to be made, and how few slots must be in use for that. */
  readonly #watching = new Map<() => void, number>();

  constructor(options: UploadSlotsOptions) {
    this.#options = options;
    this.#limit = new SlotLimit(options.first);
  }

  get inUse(): number {
    return this.#inUse;
  }

  /** As many as there are now. */
  get count(): number {
    return this.#limit.now;
  }

  get free(): number {
    return Math.max(0, this.#limit.now - this.#inUse);
  }

  /** A slot, or undefined. `onReleased` is called once, when it is given back. */
  tryTake(onReleased?: () => void): Disposable | undefined {
    this.#limit.look(this.#options.clock.nowMs(), this.#options.link());
    if (this.#inUse >= this.#limit.now) {
      this.#limit.refused();
      return undefined;
    }
    this.#inUse++;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#inUse--;
        onReleased?.();
        this.#callNext();
        this.#callWatching();
      },
    };
  }

  /** `call` is made once, when a slot has become free and those refused before had their turn. */
  onFree(call: () => void): void {
    this.#refused.add(call);
  }

  /** `call` is made once, when no more than so many slots are in use after one was given back; a later request replaces an earlier one. */
  whenInUseAtMost(count: number, call: () => void): void {
    this.#watching.set(call, count);
  }

  forget(call: () => void): void {
    this.#refused.delete(call);
    this.#watching.delete(call);
  }

  /** One for each free slot: who was called before may want none any more. */
  #callNext(): void {
    for (let free = this.free; free > 0; free--) {
      const [next] = this.#refused;
      if (next === undefined) return;
      this.#refused.delete(next);
      next();
    }
  }

  #callWatching(): void {
    for (const [call, count] of this.#watching) {
      if (this.#inUse > count) continue;
      this.#watching.delete(call);
      call();
    }
  }
}
