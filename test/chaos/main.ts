import { parseArgs } from "node:util";
import { chaosRound } from "./round.ts";

// npm run test:chaos -- [--seeds N] [--seed N] [--ms N] [--verbose] [--json]: three nodes whose slots go round while clients write and everything goes wrong.

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    ms: { type: "string", default: "8000" },
    verbose: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const totals = {
  seeds: 0,
  violations: 0,
  stopMsMax: 0,
  migrations: 0,
  pauseMsMax: 0,
  answered: 0,
  cancelled: 0,
  kills: 0,
  faults: 0,
  undecided: 0,
};
for (let seed = Number(values.seed); totals.seeds < Number(values.seeds); seed++) {
  const outcome = await chaosRound(seed, { ms: Number(values.ms), verbose: values.verbose });
  totals.seeds++;
  totals.violations += outcome.violations.length;
  totals.stopMsMax = Math.max(totals.stopMsMax, outcome.stopMsMax);
  totals.pauseMsMax = Math.max(totals.pauseMsMax, outcome.pauseMsMax);
  for (const name of ["migrations", "answered", "cancelled", "kills", "faults", "undecided"] as const) totals[name] += outcome[name];
  if (values.json && outcome.violations.length === 0) continue;
  const { violations, ...counts } = outcome;
  console.log(`seed ${seed}: ${JSON.stringify(counts)}`);
  for (const violation of violations.slice(0, 20)) console.log(`  VIOLATION ${violation}`);
}
console.log(JSON.stringify(totals));
process.exitCode = totals.violations > 0 ? 1 : 0;
