import type { Clock } from "./clock.ts";
import { errorOf, ERRORS } from "./errors.ts";
import type { Random } from "./random.ts";

export interface Backoff {
  readonly attemptsMax: number;
  readonly firstMs: number;
  readonly maxMs: number;
}

export interface RetryOptions extends Backoff {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** The wait before attempt `attempt` (1 is the first retry): doubling, capped, with full jitter on its upper half. */
export function backoffMs(attempt: number, backoff: Backoff, random: Random): number {
  const ceiling = Math.min(backoff.maxMs, backoff.firstMs * 2 ** (attempt - 1));
  return ceiling / 2 + (random.next() * ceiling) / 2;
}

/** Runs `work` again while its error's policy is `same`, at most `attemptsMax` times in all; then throws the last error. */
export async function retry<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (thrown) {
      const error = errorOf(thrown);
      const again = ERRORS[error.code].retry === "same" && attempt < options.attemptsMax && !options.signal.aborted;
      if (!again) throw thrown;
      await options.clock.sleep(backoffMs(attempt, options, options.random), options.signal);
    }
  }
}

/** True when the same thing may be tried again; for loops that make progress between failures, which `retry` cannot know. */
export const mayRepeat = (thrown: unknown): boolean => ERRORS[errorOf(thrown).code].retry === "same";
