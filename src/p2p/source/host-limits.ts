import { Semaphore } from "../../base/limits.ts";

/** One line of requests per host, so that a slow origin cannot take every socket and no origin is flooded. */
export class HostLimits {
  readonly #lines = new Map<string, Semaphore>();
  readonly #options: { readonly slots: number; readonly waitingMax: number };

  constructor(options: { readonly slots: number; readonly waitingMax: number }) {
    this.#options = options;
  }

  /** Hosts with a request under way or waiting. */
  get hosts(): number {
    return this.#lines.size;
  }

  /** A slot for one request, held until it is disposed. Throws `limit.exceeded` when the line is full. */
  async acquire(host: string, signal: AbortSignal): Promise<Disposable> {
    const line = this.#lines.get(host) ?? new Semaphore(this.#options);
    this.#lines.set(host, line);
    try {
      const slot = await line.acquire(signal);
      return {
        [Symbol.dispose]: () => {
          slot[Symbol.dispose]();
          this.#forget(host, line);
        },
      };
    } catch (thrown) {
      this.#forget(host, line);
      throw thrown;
    }
  }

  /** Idle lines go at once: hosts are named by clients, and the map must not grow with them. */
  #forget(host: string, line: Semaphore): void {
    if (line.inFlight === 0 && line.waiting === 0 && this.#lines.get(host) === line) this.#lines.delete(host);
  }
}
