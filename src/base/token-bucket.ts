import { invariant } from "./errors.ts";

/**
 * Bytes that may pass, refilled at a rate. It may go into debt: whoever finds it open passes with all bytes that were asked for, and the next
 * one waits until they are paid. So a request may be larger than what the bucket holds, bytes that have come already can be charged afterwards,
 * and over any time no more passes than rate × time + burst + one request.
 */
export class TokenBucket {
  readonly #burstMs: number;
  #bytesPerSecond: number;
  #tokens = 0;
  #atMs: number;

  /** `bytesPerSecond` may be Infinity. What is not used of `burstMs` is kept for later, so that a timer that fires late costs nothing. */
  constructor(options: { readonly bytesPerSecond: number; readonly burstMs: number; readonly nowMs: number }) {
    mustBeRate(options.bytesPerSecond);
    this.#bytesPerSecond = options.bytesPerSecond;
    this.#burstMs = options.burstMs;
    this.#atMs = options.nowMs;
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }

  get limited(): boolean {
    return this.#bytesPerSecond !== Infinity;
  }

  /** Whether somebody may pass now. */
  open(nowMs: number): boolean {
    return this.readyMs(nowMs) === 0;
  }

  /** Milliseconds until somebody may pass. */
  readyMs(nowMs: number): number {
    if (!this.limited) return 0;
    this.#refill(nowMs);
    return this.#tokens >= 0 ? 0 : (-this.#tokens * 1000) / this.#bytesPerSecond;
  }

  /** Nothing is owed and nothing more can be saved: as good as new. */
  full(nowMs: number): boolean {
    if (!this.limited) return true;
    this.#refill(nowMs);
    return this.#tokens >= this.#burstBytes;
  }

  spend(bytes: number): void {
    if (this.limited) this.#tokens -= bytes;
  }

  /** What is owed stays owed, at the new rate. */
  setRate(bytesPerSecond: number, nowMs: number): void {
    mustBeRate(bytesPerSecond);
    if (this.limited) this.#refill(nowMs);
    else this.#tokens = 0;
    this.#atMs = nowMs;
    this.#bytesPerSecond = bytesPerSecond;
    if (this.limited) this.#tokens = Math.min(this.#tokens, this.#burstBytes);
  }

  get #burstBytes(): number {
    return (this.#bytesPerSecond * this.#burstMs) / 1000;
  }

  #refill(nowMs: number): void {
    this.#tokens = Math.min(this.#burstBytes, this.#tokens + ((nowMs - this.#atMs) * this.#bytesPerSecond) / 1000);
    this.#atMs = nowMs;
  }
}

/** Where nothing may pass at all, somebody would wait for ever. */
const mustBeRate = (bytesPerSecond: number): void => invariant(bytesPerSecond > 0, "a rate is above zero");
