import { parseArgs } from "node:util";
import { unmountable } from "../../kit/mounted-volume.ts";
import { crashRounds, VICTIMS, type CrashSummary } from "./rounds.ts";

// npm run test:volume-crash -- [--rounds 200] [--seed 7] [--meta sqlite,PostgreSQL,…] [--victims client,both,…] [--json]: kills the mount process, the supervisor, both, or the metadata engine at
// random moments while three programs write and sync. The rounds are shared among the engines; the last line of standard output counts.

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "200" },
    seed: { type: "string", default: "7" },
    meta: { type: "string", default: "sqlite,PostgreSQL,Anax's own store" },
    victims: { type: "string", default: VICTIMS.join(",") },
    json: { type: "boolean", default: false },
  },
});
const reason = unmountable();
if (reason !== undefined) throw new Error(reason);
const [engines, victims] = [values.meta.split(","), values.victims.split(",")];
const [rounds, seed] = [Number(values.rounds), Number(values.seed)];
const summaries: CrashSummary[] = [];
const stop = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort(new Error(`ended by ${name}`)));
for (const [index, meta] of engines.entries()) {
  const share = Math.floor(rounds / engines.length) + (index < rounds % engines.length ? 1 : 0);
  const options = { rounds: share, seed: seed + index, meta, victims: VICTIMS.filter((victim) => victims.includes(victim)) };
  if (share > 0) summaries.push(await crashRounds({ ...options, signal: stop.signal, onRound: (line) => console.error(line) }));
}
const sum = (key: "rounds" | "acknowledged" | "lost" | "fsckProblems" | "strangers" | "hung" | "left"): number =>
  summaries.reduce((total, summary) => total + summary[key], 0);
const kills: Record<string, number> = {};
for (const summary of summaries) for (const [victim, count] of Object.entries(summary.kills)) kills[victim] = (kills[victim] ?? 0) + count;
const problems = summaries.flatMap((summary) => summary.problems);
for (const problem of problems) console.error(problem);
const counts = { lost: sum("lost"), fsckProblems: sum("fsckProblems"), strangers: sum("strangers"), hung: sum("hung"), left: sum("left") };
const summary = { rounds: sum("rounds"), ...counts, acknowledged: sum("acknowledged"), kills, seed, meta: engines };
console.log(
  values.json
    ? JSON.stringify(summary)
    : Object.entries(summary)
        .map(([key, value]) => `${key} ${JSON.stringify(value)}`)
        .join(", "),
);
process.exitCode = problems.length === 0 && Object.values(counts).every((count) => count === 0) ? 0 : 1;
