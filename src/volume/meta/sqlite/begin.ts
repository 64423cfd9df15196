import type { StatementSync } from "node:sqlite";
import { pause } from "../pause.ts";

/** SQLite's own waiting looks ever more rarely, up to each 100 ms, and would miss the short times between two groups of a busy writer. */
const POLL_MS = 1;
/** Another process may hold the volume for one group of changes, and a checkpoint. */
const WAIT_MS = 5000;
const BUSY = 5;

/** Begins a transaction that writes; blocks this thread for up to so long while another one does. Throws SQLite's busy. */
export function beginImmediate(begin: StatementSync, waitMs = WAIT_MS): void {
  const startedMs = performance.now();
  for (;;) {
    try {
      begin.run();
      return;
    } catch (error) {
      const code = (error as { errcode?: unknown }).errcode;
      if (typeof code !== "number" || (code & 0xff) !== BUSY || performance.now() - startedMs >= waitMs) throw error;
      pause(POLL_MS);
    }
  }
}
