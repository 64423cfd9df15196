import { parentPort } from "node:worker_threads";
import { realClock } from "../base/clock.ts";
import { invariant, systemCodeOf } from "../base/errors.ts";
import { DISK_ERRANDS } from "./disk-errands.ts";
import type { DiskAnswer, DiskAnswers, DiskOrder } from "./disk-thread.ts";

// The thread that runs errands for `DiskThread`: what comes together is answered together.

invariant(parentPort !== null, "runs as a worker");
const port = parentPort;

port.on("message", (orders: readonly DiskOrder[]) => {
  const startedMs = realClock.nowMs();
  const answers = orders.map(answerOf);
  port.postMessage({ answers, tookMs: realClock.nowMs() - startedMs } satisfies DiskAnswers);
});

function answerOf({ name, of }: DiskOrder): DiskAnswer {
  try {
    return { gives: (DISK_ERRANDS[name] as (of: unknown) => unknown)(of) };
  } catch (error) {
    const { syscall } = error as NodeJS.ErrnoException;
    return { code: systemCodeOf(error), syscall, reason: error instanceof Error ? error.message : String(error) };
  }
}
