import type { Clock } from "../../base/clock.ts";
import type { DownloadedPiece } from "./types.ts";

/** Whoever waits for pieces hears of them together: to wake it for each costs it, and this process, more than the piece itself. */
const GATHER_MS = 100;

/** The pieces of a download in the order in which they came; any number of readers, each at its own pace. */
export class PieceLog {
  readonly #pieces: DownloadedPiece[] = [];
  readonly #wakers = new Set<() => void>();
  readonly #clock: Pick<Clock, "timer">;
  #gathering: Disposable | undefined;
  #ended = false;

  constructor(clock: Pick<Clock, "timer">) {
    this.#clock = clock;
  }

  add(piece: DownloadedPiece): void {
    this.#pieces.push(piece);
    if (this.#wakers.size > 0) this.#gathering ??= this.#clock.timer(GATHER_MS, () => this.#wake());
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Ends with the download, however that ended. Throws the signal's reason. */
  async *read(signal: AbortSignal): AsyncGenerator<DownloadedPiece> {
    for (let next = 0; ; next++) {
      while (next === this.#pieces.length) {
        if (this.#ended) return;
        await this.#change(signal);
      }
      yield this.#pieces[next]!; // the loop before ended because it is there
    }
  }

  #wake(): void {
    this.#gathering?.[Symbol.dispose]();
    this.#gathering = undefined;
    for (const wake of this.#wakers) wake();
  }

  async #change(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#wakers.add(resolve);
    try {
      await promise;
    } finally {
      this.#wakers.delete(resolve);
      signal.removeEventListener("abort", onAbort);
    }
  }
}
