import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../../scripts/kit.ts";
import { fetchRedisSource } from "../../scripts/setup.ts";
import { printTable } from "../../src/cli/table.ts";
import { countOf, type UnitResult } from "./outcome.ts";
import { PROFILES, type ProfileName } from "./profiles.ts";
import { reportOf } from "./report.ts";
import { ANAX, STOCK } from "./subjects.ts";
import { Suite, unitsOf } from "./suite.ts";

// npm run test:redis [-- --profile full|portable|own] [--units unit/type/string,unit/multi] [--quick] [--stock] [--json] [--docs]
//   [--jobs 4] [--resume FILE]
// Redis' own test suite against the store, or with --stock against the Redis of this system, to compare. Ends with 1 if a test fails.
// --jobs: units that run at the same time. --resume: results are kept in that file, and units that it has without a failure are not run again.

/** Enough to see within a minute that the store is whole. */
const QUICK = [
  "unit/type/incr",
  "unit/type/list-3",
  "unit/keyspace",
  "unit/pubsub",
  "unit/protocol",
  "unit/tracking",
  "unit/introspection",
];

const { values } = parseArgs({
  options: {
    profile: { type: "string", default: "full" },
    units: { type: "string" },
    quick: { type: "boolean", default: false },
    stock: { type: "boolean", default: false },
    jobs: { type: "string", default: "1" },
    resume: { type: "string" },
    json: { type: "boolean", default: false },
    docs: { type: "boolean", default: false },
  },
});
const profile = PROFILES[values.profile as ProfileName];
if (profile === undefined) throw new Error(`--profile is one of ${Object.keys(PROFILES).join(", ")}`);
const source = fetchRedisSource(join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "anax"));
if (source === undefined) {
  console.error("The source of Redis could not be had (apt-get source): its suite is not run.");
  process.exitCode = 1;
} else {
  const units = values.units?.split(",") ?? (values.quick ? QUICK : unitsOf(source, profile));
  const results = resumed(units);
  const waiting = units.filter((unit) => !results.has(unit));
  await Promise.all(
    Array.from({ length: Math.max(1, Number(values.jobs)) }, async () => {
      using suite = await Suite.of(source, values.stock ? STOCK : ANAX);
      for (let unit = waiting.shift(); unit !== undefined; unit = waiting.shift()) {
        const result = await suite.run(unit, profile);
        results.set(unit, result);
        if (values.resume !== undefined) writeFileSync(values.resume, JSON.stringify([...results.values()]));
        tell(result);
      }
    }),
  );
  const all = units.map((unit) => results.get(unit)!); // each was run
  finish(all, /#define REDIS_VERSION "([^"]+)"/.exec(readFileSync(join(source, "src/version.h"), "utf8"))?.[1] ?? "7.0");
}

/** What an earlier run has found of these units, where nothing failed. */
function resumed(units: readonly string[]): Map<string, UnitResult> {
  const file = values.resume;
  const known = file === undefined || !existsSync(file) ? [] : (JSON.parse(readFileSync(file, "utf8")) as UnitResult[]);
  const kept = known.filter(({ unit, outcomes }) => units.includes(unit) && countOf(outcomes, "err") === 0);
  return new Map(kept.map((result) => [result.unit, result]));
}

function tell({ unit, outcomes, seconds }: UnitResult): void {
  for (const { name, verdict, reason } of outcomes) if (verdict === "err") console.log(`failed  ${unit}: ${name}: ${reason ?? ""}`);
  console.log(`${unit}: ${countOf(outcomes, "ok")} ok, ${countOf(outcomes, "err")} failed, ${seconds.toFixed(1)} s`);
}

function finish(results: readonly UnitResult[], version: string): void {
  const all = results.flatMap(({ outcomes }) => outcomes);
  const [ok, err, ignored] = (["ok", "err", "ignored"] as const).map((verdict) => countOf(all, verdict));
  if (values.docs) writeFileSync(join(ROOT, "docs/reference/redis-compatibility.md"), reportOf(results, profile, version));
  printTable(
    ["UNIT", "OK", "FAILED", "NOT RUN", "SECONDS"],
    results.map(({ unit, outcomes, seconds }) => [
      unit,
      ...(["ok", "err", "ignored"] as const).map((verdict) => String(countOf(outcomes, verdict))),
      seconds.toFixed(1),
    ]),
    [1, 2, 3, 4],
  );
  if (values.json) console.log(JSON.stringify({ ok, err, ignored, units: results.length }));
  process.exitCode = err === 0 ? 0 : 1;
}
