import type { AnaxConfig } from "../../node/config.ts";

export interface Finding {
  readonly check: string;
  readonly state: "ok" | "warn" | "fail";
  readonly found: string;
  /** What to do about it; absent when all is well. */
  readonly mend?: string;
}

export interface Place {
  readonly config: AnaxConfig;
  readonly socketPath: string;
  /** The daemon that runs with this data directory, else the doctor itself: what holds for it will hold for a daemon started beside it. */
  readonly pid: number | "self";
}

/** `ok` when nothing is to be mended, else `warn`. */
export const findingOf = (check: string, found: string, mend: string | undefined): Finding =>
  mend === undefined ? { check, state: "ok", found } : { check, state: "warn", found, mend };
