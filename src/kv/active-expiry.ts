import type { Store } from "./store.ts";

/** Expiries looked at in one go, with the least effort. */
const BATCH = 4096;
/** Keys deleted between two looks at the clock. */
const KEYS_PER_LOOK = 32;
/** What one run takes at most, so that commands do not wait. */
const RUN_MS = 2;

/**
 * Deletes keys whose time has come though nobody asks for them. Goes through each database's expiries from the last to the first, some with each run: as one that is removed
 * makes room for the last, none is passed over. Where many were due it goes on until its time is over.
 */
export class ActiveExpiry {
  readonly #store: Store;
  /** By database: expiries still to look at in this round. */
  readonly #left: number[] = [];
  #untilMs = 0;
  #turn = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Milliseconds until the next run should be: undefined where there was little to do. */
  run(): number | undefined {
    const { databases, clock, parameters } = this.#store;
    const effort = parameters["active-expire-effort"];
    this.#untilMs = clock.nowMs() + RUN_MS;
    for (let i = 0; i < databases.length; i++) {
      // The one at which time was over is the first next time.
      if (!this.#expireIn(this.#turn, effort)) return pauseMs(effort);
      this.#turn = (this.#turn + 1) % databases.length;
    }
    return undefined;
  }

  /** False: time is over. */
  #expireIn(index: number, effort: number): boolean {
    const db = this.#store.databases[index]!;
    if (db.expiryMode !== "delete") return true;
    const batch = BATCH * effort;
    for (;;) {
      const count = db.expiryCount;
      const end = Math.min(this.#left[index] || count, count);
      const start = Math.max(0, end - batch);
      let due = 0;
      for (let at = end - 1; at >= start; at--) {
        const address = db.dueAt(at);
        if (address === 0) continue;
        db.lapsed(address);
        if (++due % KEYS_PER_LOOK === 0 && this.#store.clock.nowMs() > this.#untilMs) {
          this.#left[index] = at;
          return false;
        }
      }
      this.#left[index] = start;
      // Below this share the keys that are due are not worth more time now.
      if (start === 0 || due * 100 < (end - start) * (10 - effort)) return true;
    }
  }
}

/** A quarter of the time, a little more with more effort, may be spent so while there is much to do. */
function pauseMs(effort: number): number {
  const share = 0.25 + 0.02 * (effort - 1);
  return (RUN_MS * (1 - share)) / share;
}
