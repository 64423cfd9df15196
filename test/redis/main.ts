import { readFileSync, writeFileSync } from "node:fs";
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
import { Suite } from "./suite.ts";

// npm run test:redis [-- --profile full|portable|own] [--units unit/type/string,unit/multi] [--quick] [--stock] [--json] [--docs]
// Redis' own test suite against the store, or with --stock against the Redis of this system, to compare. Ends with 1 if a test fails.

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
  using suite = await Suite.of(source, values.stock ? STOCK : ANAX);
  const units = values.units?.split(",") ?? (values.quick ? QUICK : suite.units(profile));
  const results: UnitResult[] = [];
  for (const unit of units) {
    const result = await suite.run(unit, profile);
    results.push(result);
    for (const { name, verdict, reason } of result.outcomes)
      if (verdict === "err") console.log(`failed  ${unit}: ${name}: ${reason ?? ""}`);
    console.log(`${unit}: ${countOf(result.outcomes, "ok")} ok, ${countOf(result.outcomes, "err")} failed, ${result.seconds.toFixed(1)} s`);
  }
  finish(results, /#define REDIS_VERSION "([^"]+)"/.exec(readFileSync(join(source, "src/version.h"), "utf8"))?.[1] ?? "7.0");
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
