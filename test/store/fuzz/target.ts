import type { Random } from "../../../src/base/random.ts";

/** Something that takes hostile input, and what must hold for whatever it is given. */
export interface Target extends AsyncDisposable {
  /** One case; its input, for a report. Throws where something does not hold. */
  run(random: Random, input: (bytes: Buffer) => void): void | Promise<void>;
  /** After some cases: what must hold of what they have left. */
  check(): void | Promise<void>;
}

export const TARGETS = ["resp-parser", "resp-server", "restore", "rdb", "journal", "lua", "redis-conf"] as const;
export type TargetName = (typeof TARGETS)[number];

/** One run: cases with consecutive numbers, each of whose input follows from seed and number. */
export interface Job {
  readonly target: TargetName;
  readonly seed: number;
  readonly from: number;
  readonly casesMax: number;
  /** Milliseconds of `performance.now()` of this thread. */
  readonly timeMs: number;
  /** The number of the case that runs, as an Int32. */
  readonly progress: SharedArrayBuffer;
  /** The input of the case that runs: its length as an Int32, then its bytes as far as there is room. */
  readonly input: SharedArrayBuffer;
}

export type Report = { readonly cases: number } | { readonly failedCase: number; readonly error: string };

/** What is left by earlier cases is thrown away after so many, so that a failure is found again from their first on. */
export const CASES_TOGETHER = 100;
