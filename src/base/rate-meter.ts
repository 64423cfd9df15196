/** Shorter spans say more about timers than about rates. Milliseconds. */
const SPAN_MIN_MS = 50;

/**
 * Bytes per second as they were lately: a mean in which what is `windowMs` old counts for a third. Counting costs one addition; the mean moves
 * when it is read, so it should be read about as often as it is to follow.
 */
export class RateMeter {
  readonly #windowMs: number;
  #totalBytes = 0;
  #seenBytes = 0;
  #seenMs: number;
  /** Bytes and time, both fading: their quotient is right from the first reading on. */
  #bytes = 0;
  #ms = 0;

  constructor(options: { readonly windowMs: number; readonly nowMs: number }) {
    this.#windowMs = options.windowMs;
    this.#seenMs = options.nowMs;
  }

  add(bytes: number): void {
    this.#totalBytes += bytes;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  perSecond(nowMs: number): number {
    const spanMs = nowMs - this.#seenMs;
    if (spanMs >= SPAN_MIN_MS) {
      const fading = Math.exp(-spanMs / this.#windowMs);
      this.#bytes = this.#bytes * fading + this.#totalBytes - this.#seenBytes;
      this.#ms = this.#ms * fading + spanMs;
      this.#seenBytes = this.#totalBytes;
      this.#seenMs = nowMs;
    }
    return this.#ms === 0 ? 0 : (this.#bytes * 1000) / this.#ms;
  }
}
