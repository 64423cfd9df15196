// One file from an origin to many hosts, each in a network namespace with links of a given rate and delay: Anax beside BitTorrent.
// See docs/operations/benchmarks.md. Progress and a table go to standard error; with --json one line goes to standard output.
import { installBroadcastPackages } from "../../scripts/setup.ts";
import { roundsOf, type Round } from "./choice.ts";
import { HELP, parseFlags, type Flags } from "./flags.ts";
import { play } from "./play.ts";
import { printTable } from "./report.ts";
import type { FailedRow, Row } from "./result.ts";
import { SCENARIOS } from "./scenarios.ts";
import { missesOf } from "./verdict.ts";

const PARENT_CHECK_MS = 1_000;
const say = (text: string): void => void process.stderr.write(`${text}\n`);

process.exitCode = await main();

async function main(): Promise<number> {
  let flags: Flags;
  let rounds: readonly Round[];
  try {
    flags = parseFlags(process.argv.slice(2));
    if (flags.help) return (say(HELP), 0);
    if (flags.list) return (list(), 0);
    rounds = roundsOf(flags);
  } catch (error) {
    say(`${(error as Error).message}\n${HELP}`);
    return 2;
  }
  if (process.getuid?.() !== 0) return (say("It makes network namespaces, and so must run as root."), 2);
  if (!installBroadcastPackages()) return 1;
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => stop.abort(new Error(`ended by ${name}`));
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal); // a second one ends the process at once
  endWithParent(stop);
  const rows: (Row | FailedRow)[] = [];
  for (const round of rounds) {
    if (stop.signal.aborted) break;
    rows.push(
      ...(await play(round, {
        runs: flags.runs,
        warmBytes: flags.warmBytes,
        logs: flags.logs,
        keep: flags.keep,
        signal: stop.signal,
        say,
      })),
    );
  }
  if (rows.length > 0) printTable(rows);
  if (flags.json) console.log(JSON.stringify({ rows: rows.map((row) => ({ ...row, misses: missesOf(row, rows) })) }));
  if (stop.signal.aborted || rows.some((row) => "failed" in row)) return 1;
  return flags.strict && rows.some((row) => missesOf(row, rows).length > 0) ? 1 : 0;
}

/** npm and the script that starts this do not pass signals on: when they are gone, nobody waits for the result. */
function endWithParent(stop: AbortController): void {
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || stop.abort(new Error("whoever started this has ended")), PARENT_CHECK_MS).unref();
}

function list(): void {
  const width = Math.max(...SCENARIOS.map(({ name }) => name.length)) + 2;
  for (const { name, title, n, bound, required, extra } of SCENARIOS) {
    const only = extra === true ? " (only when named)" : "";
    say(`${name.padEnd(width)}${n} hosts: ${title}${only}`);
    say(`${" ".repeat(width)}bound: ${bound}; required: ${required.ratioLast} of it, ${required.originCopies} origin copies`);
  }
}
