import { AnaxError } from "./errors.ts";

/** Time as the program sees it. Everything that waits takes one, so that a simulation can own time. */
export interface Clock {
  /** Monotonic milliseconds; only differences mean something. */
  nowMs(): number;
  /** Milliseconds since the Unix epoch, for what is stored or shown. */
  wallMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fire` once after `ms`, unless disposed before. */
  timer(ms: number, fire: () => void): Disposable;
  /** A signal that aborts after `ms` or with `parent`, whichever is first. Dispose it, so that nothing stays behind. */
  deadline(ms: number, parent?: AbortSignal): Deadline;
}

export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  /** True once the time, and not the parent, ended it. */
  readonly expired: boolean;
}

/** Builds the waiting half of a clock from its timer, shared by the real and the virtual one. */
export function waitsOf(timer: Clock["timer"]): Pick<Clock, "sleep" | "deadline"> {
  return {
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason as Error);
        const onAbort = (): void => {
          pending[Symbol.dispose]();
          reject(signal?.reason as Error);
        };
        const pending = timer(ms, () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        });
        signal?.addEventListener("abort", onAbort, { once: true });
      }),
    deadline(ms, parent) {
      const controller = new AbortController();
      let expired = false;
      const onAbort = (): void => controller.abort(parent?.reason);
      const pending = timer(ms, () => {
        expired = true;
        parent?.removeEventListener("abort", onAbort);
        controller.abort(new AnaxError("download.deadline", { afterMs: ms }));
      });
      if (parent?.aborted) onAbort();
      else parent?.addEventListener("abort", onAbort, { once: true });
      return {
        signal: controller.signal,
        get expired() {
          return expired;
        },
        [Symbol.dispose]() {
          pending[Symbol.dispose]();
          parent?.removeEventListener("abort", onAbort);
        },
      };
    },
  };
}

function realTimer(ms: number, fire: () => void): Disposable {
  const handle = setTimeout(fire, ms);
  return { [Symbol.dispose]: () => clearTimeout(handle) };
}

/** The machine's own clock. Sleeping keeps the process alive; background loops end by their signal. */
export const realClock: Clock = {
  nowMs: () => process.uptime() * 1000, // the same clock as `performance.now`, which takes 2 ms to load
  wallMs: () => Date.now(),
  timer: realTimer,
  ...waitsOf(realTimer),
};

/** Wall time as it is shown and stored: ISO 8601 in UTC. */
export const isoText = (wallMs: number): string => new Date(wallMs).toISOString();
