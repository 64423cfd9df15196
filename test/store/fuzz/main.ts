import { parseArgs } from "node:util";
import { fuzz } from "./fuzz.ts";
import { TARGETS, type TargetName } from "./target.ts";

// npm run test:store-fuzz -- [--minutes N] [--seed S] [--target NAME]… [--from CASE] [--cases N] [--json]: hostile input to all that the store reads.

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    target: { type: "string", multiple: true, default: [...TARGETS] },
    from: { type: "string", default: "0" },
    cases: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const unknown = values.target.filter((name) => !TARGETS.includes(name as TargetName));
if (unknown.length > 0) {
  console.error(`unknown target ${unknown.join(", ")}; there are ${TARGETS.join(", ")}`);
  process.exit(2);
}
const seed = Number(values.seed);
const timeMs = (Number(values.minutes) * 60_000) / values.target.length;
const cases: Record<string, number> = {};
const failures: string[] = [];
for (const target of values.target as TargetName[])
  try {
    const count = await fuzz({
      target,
      seed,
      from: Number(values.from),
      timeMs,
      ...(values.cases !== undefined && { casesMax: Number(values.cases) }),
    });
    cases[target] = count;
    console.error(`${target}: ${count} cases`);
  } catch (thrown) {
    failures.push(target);
    console.error(thrown instanceof Error ? thrown.message : String(thrown));
  }
if (values.json) console.log(JSON.stringify({ seed, minutes: Number(values.minutes), cases, failures }));
process.exitCode = failures.length > 0 ? 1 : 0;
