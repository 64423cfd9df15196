import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import type { MemoryConfig } from "./config.ts";
import type { MemoryMetrics } from "./metrics.ts";

interface Waiter {
  readonly bytes: number;
  readonly grant: () => void;
}

export interface MemoryBudgetParts {
  readonly totalBytes: number;
  readonly config: Pick<MemoryConfig, "waitMs" | "waitingMax">;
  readonly clock: Clock;
  readonly metrics: MemoryMetrics;
}

/**
 * Memory that work takes while it goes on. Where none is left the next one waits, first come first served. Nobody reserves more for a download while others
 * wait for what it holds: so whoever holds some comes to its end.
 */
export class MemoryBudget {
  readonly #parts: MemoryBudgetParts;
  readonly #waiting = new Set<Waiter>();
  #freeBytes: number;

  constructor(parts: MemoryBudgetParts) {
    this.#parts = parts;
    this.#freeBytes = parts.totalBytes;
    parts.metrics.total.set(parts.totalBytes);
  }

  /** So much at once, or undefined when it is not there or others wait for it. More than there is at all counts as all of it. */
  tryReserve(wantedBytes: number): Disposable | undefined {
    const bytes = Math.min(wantedBytes, this.#parts.totalBytes);
    if (this.#waiting.size > 0 || bytes > this.#freeBytes) return undefined;
    return this.#lend(bytes);
  }

  /** So much as soon as it is there. Throws `memory.exhausted` when the line is full or it took too long, the signal's reason when it aborts. */
  async reserve(wantedBytes: number, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const bytes = Math.min(wantedBytes, this.#parts.totalBytes);
    return this.tryReserve(bytes) ?? (await this.#waitFor(bytes, signal));
  }

  async #waitFor(bytes: number, signal: AbortSignal): Promise<Disposable> {
    const { config, clock, metrics } = this.#parts;
    const { waitMs, waitingMax } = config;
    if (this.#waiting.size >= waitingMax) {
      metrics.refused.inc();
      throw new AnaxError("memory.exhausted", { bytes, waitingMax });
    }
    using deadline = clock.deadline(waitMs, signal);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { bytes, grant: resolve };
    const onAbort = (): void => reject(deadline.signal.reason as Error);
    deadline.signal.addEventListener("abort", onAbort, { once: true });
    this.#waiting.add(waiter);
    metrics.waiting.set(this.#waiting.size);
    try {
      await promise;
    } catch (thrown) {
      this.#waiting.delete(waiter);
      this.#serve(); // it may have been in the way of smaller ones
      if (!deadline.expired) throw thrown;
      metrics.refused.inc();
      throw new AnaxError("memory.exhausted", { bytes, waitedMs: waitMs });
    } finally {
      metrics.waiting.set(this.#waiting.size);
    }
    return this.#lease(bytes);
  }

  #lend(bytes: number): Disposable {
    this.#take(bytes);
    return this.#lease(bytes);
  }

  #take(bytes: number): void {
    this.#freeBytes -= bytes;
    this.#parts.metrics.reserved.inc(bytes);
  }

  #lease(bytes: number): Disposable {
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#freeBytes += bytes;
        this.#parts.metrics.reserved.dec(bytes);
        this.#serve();
      },
    };
  }

  /** In the order in which they came: one that fits does not overtake one that does not, which would never get its turn. */
  #serve(): void {
    for (const waiter of this.#waiting) {
      if (waiter.bytes > this.#freeBytes) return;
      this.#waiting.delete(waiter);
      this.#take(waiter.bytes);
      waiter.grant();
    }
  }
}
