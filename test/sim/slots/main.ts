import { parseArgs } from "node:util";
import { simulate } from "./cluster.ts";
import { MUTANTS, type Mutant } from "./scenario.ts";

// npm run test:slots-sim -- [--seeds N] [--from SEED] [--fault NAME] [--trace]: moving slots under simulated time. The last line is JSON; a failure prints its seed; `--trace` prints all that
// happens.

const FAILURES_MAX = 10;
const PROGRESS_EACH = 5000;

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "0" },
    fault: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});
const fault = MUTANTS.find((name) => name === values.fault) satisfies Mutant | undefined;
if (values.fault !== undefined && fault === undefined) {
  console.error(`no such fault; there are ${MUTANTS.join(", ")}`);
  process.exit(2);
}
const from = Number(values.from);
const sums = { acknowledged: 0, moved: 0, cancelled: 0, crashes: 0, takeovers: 0 };
let seeds = 0;
let failed = 0;
const startedMs = performance.now();
for (; seeds < Number(values.seeds) && failed < FAILURES_MAX; seeds++) {
  const result = simulate(from + seeds, fault, values.trace ? (line) => console.log(line) : undefined);
  if (result.violations.length > 0) {
    failed++;
    console.log(`seed ${from + seeds}: ${result.violations.join("; ")}`);
  }
  for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += result[key];
  if ((seeds + 1) % PROGRESS_EACH === 0) console.log(`${seeds + 1} seeds`);
}
const seconds = Math.round((performance.now() - startedMs) / 1000);
console.log(JSON.stringify({ seeds, from, violations: failed, ...sums, seconds }));
process.exitCode = failed > 0 ? 1 : 0;
