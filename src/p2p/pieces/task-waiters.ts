type Key = number | "verified";

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Those who wait for a piece of one task, or for its whole content to be verified. */
export class TaskWaiters {
  readonly #waiting = new Map<Key, Set<Waiter>>();

  /** Rejects with the signal's reason, or what `rejectAll` gives. */
  wait(key: Key, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const leave = (): void => {
        signal.removeEventListener("abort", onAbort);
        const line = this.#waiting.get(key);
        line?.delete(waiter);
        if (line?.size === 0) this.#waiting.delete(key);
      };
      const waiter: Waiter = { resolve: () => (leave(), resolve()), reject: (error) => (leave(), reject(error)) };
      const onAbort = (): void => waiter.reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      const line = this.#waiting.get(key);
      if (line === undefined) this.#waiting.set(key, new Set([waiter]));
      else line.add(waiter);
    });
  }

  resolve(key: Key): void {
    for (const waiter of this.#waiting.get(key) ?? []) waiter.resolve();
  }

  rejectAll(error: unknown): void {
    for (const line of this.#waiting.values()) for (const waiter of line) waiter.reject(error);
  }
}
