import { statSync } from "node:fs";
import type { StoredTask } from "../pieces/types.ts";

/** File systems keep the time of the last tick, and clocks are corrected a little now and then. */
const SLACK_MS = 1000;

/**
 * True when somebody changed finished content behind our back, or took it away. An output may be a hard link to it: read-only, but root
 * writes to it all the same, and the next one who asks must not be given that.
 */
export function isTouched(stored: StoredTask): boolean {
  const found = statSync(stored.path, { throwIfNoEntry: false }); // one short call on a local disk
  if (found === undefined || found.size !== stored.meta.contentLength) return true;
  return stored.finishedAtMs !== undefined && found.mtimeMs > stored.finishedAtMs + SLACK_MS;
}
