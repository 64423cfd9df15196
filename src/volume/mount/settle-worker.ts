import { statfsSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { ring } from "../../disk/bell.ts";
import type { SettleStart } from "./messages.ts";
import { SharedState } from "./shared-state.ts";

/** After so long without a request the I/O worker ends its group of changes, so that others see them: longer than a program takes between two calls. */
const IDLE_MS = 3;
/** It looks at least so often whether the mount is still there. */
const LOOK_MS = 60_000;

/**
 * Tells the I/O worker, which cannot wait for a time to pass since its wait is the kernel's, that nothing came for a while. A thread of its own, because main
 * may itself be waiting for the database that an open group keeps.
 */
const { dir, bell, shared } = workerData as SettleStart; // given by mount-process.ts
const state = new SharedState(shared);

for (;;) {
  if (!state.waitWhile("unsettled", 0, LOOK_MS) && state.get("unsettled") === 0) continue;
  let served = -1;
  while (served !== state.get("served")) {
    served = state.get("served");
    state.waitWhile("unsettled", 1, IDLE_MS);
  }
  if (state.get("unsettled") === 0) continue;
  state.set("settle", 1);
  try {
    if (bell !== undefined) ring(bell);
    else statfsSync(dir); // a request, so that the wait for one ends
  } catch {
    if (state.get("unsettled") === 1) break; // the mount is gone
  }
  state.waitWhile("settle", 1, LOOK_MS); // it may be in the middle of something long
}
