import { getHeapStatistics } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import { createRandom } from "../../../src/base/random.ts";
import { journalTarget, rdbTarget, restoreTarget } from "./data.ts";
import { respParserTarget } from "./resp-parser.ts";
import { respServerTarget } from "./resp-server.ts";
import { CASES_TOGETHER, type Job, type Report, type Target, type TargetName } from "./target.ts";
import { luaTarget, redisConfTarget } from "./text.ts";

// Runs cases of one target, and says after each how far it is: `fuzz.ts` looks whether it goes on.

/** More than any case may take beyond what its input is long: tables at their first growth, segments of 4 MiB. */
const CASE_BYTES_MAX = 64 * 1024 * 1024;
const GROWTH_PER_BYTE_MAX = 1000;

const MAKERS: Readonly<Record<TargetName, () => Target | Promise<Target>>> = {
  "resp-parser": respParserTarget,
  "resp-server": respServerTarget,
  restore: restoreTarget,
  rdb: rdbTarget,
  journal: journalTarget,
  lua: luaTarget,
  "redis-conf": redisConfTarget,
};

const job = workerData as Job;
const progress = new Int32Array(job.progress);
const inputLength = new Int32Array(job.input, 0, 1);
const inputBytes = new Uint8Array(job.input, 4);
const untilMs = performance.now() + job.timeMs;
let current = job.from;

async function runCases(): Promise<Report> {
  try {
    for (let cases = 0; cases < job.casesMax && performance.now() < untilMs;) {
      await using target = await MAKERS[job.target]();
      for (let turn = 0; turn < CASES_TOGETHER && cases < job.casesMax; turn++, cases++, current++) await oneCase(target);
      await target.check();
    }
    return { cases: current - job.from };
  } catch (thrown) {
    return { failedCase: current, error: thrown instanceof Error ? (thrown.stack ?? String(thrown)) : String(thrown) };
  }
}

async function oneCase(target: Target): Promise<void> {
  progress[0] = current;
  const before = usedBytes();
  let length = 0;
  await target.run(createRandom(mixed(job.seed, current)), (bytes) => {
    length = inputLength[0] = bytes.length;
    inputBytes.set(bytes.subarray(0, inputBytes.length));
  });
  const grown = usedBytes() - before;
  if (grown > CASE_BYTES_MAX + GROWTH_PER_BYTE_MAX * length) throw new Error(`${grown} bytes were allocated for ${length} of input`);
}

/** The heap and what lies outside of it, garbage too: what was allocated for a moment counts as well. */
function usedBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}

/** Neighbouring cases share nothing. */
function mixed(seed: number, number: number): number {
  const x = Math.imul((seed ^ Math.imul(number, 0x9e3779b1)) >>> 0, 0x85ebca6b);
  return (x ^ (x >>> 15)) >>> 0;
}

const report = await runCases();
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- it is no window
parentPort!.postMessage(report);
