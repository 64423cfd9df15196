import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { realClock } from "../../../src/base/clock.ts";
import { CASES_TOGETHER, type Job, type Report, type TargetName } from "./target.ts";

export interface FuzzOptions {
  readonly target: TargetName;
  readonly seed: number;
  /** The number of the first case. */
  readonly from?: number;
  readonly casesMax?: number;
  readonly timeMs: number;
}

/** Thread's time that one case may take; most take less than a millisecond. */
const CASE_CPU_MS_MAX = 10_000;
const LOOK_MS = 200;
const HEAP_MIB_MAX = 1024;
const SHOWN_BYTES_MAX = 4 * 1024;

/** Runs cases in a thread of their own, which is ended where it hangs. How many there were; throws where one of them fails, with what finds it again. */
export async function fuzz({ target, seed, from = 0, casesMax = Infinity, timeMs }: FuzzOptions): Promise<number> {
  const progress = new SharedArrayBuffer(4);
  const input = new SharedArrayBuffer(4 + SHOWN_BYTES_MAX);
  const workerData: Job = { target, seed, from, casesMax, timeMs, progress, input };
  const worker = new Worker(new URL("fuzz-worker.ts", import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX },
  });
  const failed = (number: number, reason: string): Error => {
    const first = Math.max(from, number - (number % CASES_TOGETHER));
    const [length = 0] = new Int32Array(input, 0, 1);
    const bytes = Buffer.from(input, 4, Math.min(length, SHOWN_BYTES_MAX)).toString("base64");
    return new Error(
      `case ${number} of ${target} with seed ${seed}: ${reason}\nAgain: --target ${target} --seed ${seed} --from ${first} --cases ${number - first + 1}\nIts input, in base64: ${bytes}`,
    );
  };
  const current = (): number => Atomics.load(new Int32Array(progress), 0);
  let ended = false;
  const watched = watch(worker, current, () => ended);
  try {
    const report = await Promise.race([
      once(worker, "message").then(([message]) => message as Report),
      once(worker, "exit").then(([code]) => failed(current(), `the thread ended with ${String(code)}`)),
      watched.then((reason) => failed(current(), reason)),
    ]);
    if (report instanceof Error) throw report;
    if ("failedCase" in report) throw failed(report.failedCase, report.error);
    return report.cases;
  } catch (thrown) {
    // An error that no case has caught, as of a socket, or of memory.
    throw thrown instanceof Error && thrown.message.startsWith("case ")
      ? thrown
      : failed(current(), thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  } finally {
    ended = true;
    await worker.terminate();
  }
}

/** Resolves where one case takes too long, and never where the thread ends. Time in which the machine does something else does not count. */
async function watch(worker: Worker, current: () => number, ended: () => boolean): Promise<string> {
  let number = current();
  let sinceMs = 0;
  for (;;) {
    await realClock.sleep(LOOK_MS);
    if (ended()) return new Promise(() => {});
    const { user, system } = await worker.cpuUsage().catch(() => ({ user: 0, system: 0 }));
    const usedMs = (user + system) / 1000;
    if (current() !== number) {
      number = current();
      sinceMs = usedMs;
    } else if (usedMs - sinceMs > CASE_CPU_MS_MAX) return `it does not end: ${Math.round(usedMs - sinceMs)} ms of processor time`;
  }
}
