import type { Clock } from "../../../base/clock.ts";

/**
 * Notices that something waited for does not happen. Cheap to touch: a data path may do so per read, because
 * the timer is only set again when it fires too early.
 */
export class Watchdog<What extends string> implements Disposable {
  readonly #clock: Clock;
  readonly #onExpired: (what: What, afterMs: number) => void;
  #watched: { readonly what: What; readonly ms: number; dueMs: number } | undefined;
  #timer: (Disposable & { readonly firesMs: number }) | undefined;

  constructor(clock: Clock, onExpired: (what: What, afterMs: number) => void) {
    this.#clock = clock;
    this.#onExpired = onExpired;
  }

  /** Watches this, and nothing else, from now on. */
  watch(what: What, ms: number): void {
    const dueMs = this.#clock.nowMs() + ms;
    this.#watched = { what, ms, dueMs };
    if (this.#timer === undefined || this.#timer.firesMs > dueMs) this.#set(dueMs);
  }

  /** What is watched made progress: its time begins anew. */
  touch(): void {
    if (this.#watched !== undefined) this.#watched.dueMs = this.#clock.nowMs() + this.#watched.ms;
  }

  rest(): void {
    this.#watched = undefined;
  }

  [Symbol.dispose](): void {
    this.#watched = undefined;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #set(firesMs: number): void {
    this.#timer?.[Symbol.dispose]();
    // Rounded up, since a timer that fires a fraction early would be set again for nothing.
    const timer = this.#clock.timer(Math.ceil(firesMs - this.#clock.nowMs()), () => this.#fired());
    this.#timer = { firesMs, [Symbol.dispose]: () => timer[Symbol.dispose]() };
  }

  #fired(): void {
    this.#timer = undefined;
    const watched = this.#watched;
    if (watched === undefined) return;
    if (this.#clock.nowMs() < watched.dueMs) return this.#set(watched.dueMs);
    this.#watched = undefined;
    this.#onExpired(watched.what, watched.ms);
  }
}
