import { parseArgs } from "node:util";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import type { LaneOutcome } from "./lane-process.ts";
import { runInLanes } from "./lanes.ts";
import type { Counts } from "./round.ts";
import { bundleServer } from "./server-bundle.ts";
import { StopTimes } from "./stop-times.ts";

// npm run test:chaos -- [--seeds N] [--seed N] [--ms N] [--lanes N] [--only kind,kind] [--verbose] [--json]: three nodes whose slots go round while clients write and everything goes wrong.

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    /** Milliseconds for which things go wrong, of each seed. */
    ms: { type: "string", default: "1500" },
    /** Clusters at a time. */
    lanes: { type: "string", default: "4" },
    /** Kinds of troubles with commas between them, as `troubles.ts` calls them; all when empty. */
    only: { type: "string", default: "" },
    verbose: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const [seeds, first, lanes] = [Number(values.seeds), Number(values.seed), Math.min(Number(values.lanes), Number(values.seeds))];
const totals: Counts = { answered: 0, migrations: 0, cancelled: 0, kills: 0, faults: 0, pauseMsMax: 0, undecided: 0 };
const stopTimes = new StopTimes();
let violations = 0;
let done = 0;

function add({ seed, before, violations: found, counts, stopMs }: LaneOutcome): void {
  done++;
  violations += found.length;
  stopTimes.add(...stopMs);
  for (const name of ["answered", "migrations", "cancelled", "kills", "faults", "undecided"] as const) totals[name] += counts[name];
  totals.pauseMsMax = Math.max(totals.pauseMsMax, counts.pauseMsMax);
  if (values.verbose || found.length > 0) console.log(`seed ${seed}, ${before} before it: ${JSON.stringify(counts)}`);
  for (const violation of found.slice(0, 20)) console.log(`  VIOLATION ${violation}`);
  if (done % 25 === 0) console.log(`${done} of ${seeds} seeds, ${violations} violations`);
}

await using directory = await temporaryDirectory();
const server = await bundleServer(directory.path);
const jobs = Array.from({ length: seeds }, (_, at) => ({
  seed: first + at,
  ms: Number(values.ms),
  only: values.only === "" ? [] : values.only.split(","),
  verbose: values.verbose,
  server,
}));
await runInLanes(jobs, lanes, add);
if (!values.json) console.log(stopTimes.histogram());
const { migrations, ...others } = totals;
console.log(JSON.stringify({ seeds: done, violations, stopMsMax: Math.round(stopTimes.maxMs), migrations, ...others }));
process.exitCode = violations > 0 || done < seeds ? 1 : 0;
