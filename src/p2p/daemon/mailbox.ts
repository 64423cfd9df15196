import { invariant } from "../../base/errors.ts";

/** Messages to one reader, in order. Full means a bug: senders are few, and bounded by what they wait for. */
export class Mailbox<T> {
  readonly #waiting: T[] = [];
  readonly #max: number;
  #wake: (() => void) | undefined;

  constructor(max = 100_000) {
    this.#max = max;
  }

  put(message: T): void {
    invariant(this.#waiting.length < this.#max, "a mailbox overflowed");
    this.#waiting.push(message);
    this.#wake?.();
  }

  /** The next message; throws the signal's reason when it aborts first. */
  async take(signal: AbortSignal): Promise<T> {
    while (this.#waiting.length === 0) {
      signal.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const onAbort = (): void => reject(signal.reason as Error);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#wake = resolve;
      try {
        await promise;
      } finally {
        this.#wake = undefined;
        signal.removeEventListener("abort", onAbort);
      }
    }
    return this.#waiting.shift()!; // the loop ended because there is one
  }
}
