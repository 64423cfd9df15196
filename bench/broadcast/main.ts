// One file from an origin to many hosts, each in a network namespace with links of a given rate and delay: Anax beside BitTorrent.
// See docs/operations/benchmarks.md. Progress and a table go to standard error; with --json one line goes to standard output.
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { formatBytes } from "../../src/base/units.ts";
import { installBroadcastPackages } from "../../scripts/setup.ts";
import { builtProgram } from "../../test/kit/build.ts";
import { anax } from "./drivers/anax.ts";
import type { Content, Driver } from "./drivers/driver.ts";
import { HELP, parseFlags, type Flags } from "./flags.ts";
import { race, type Race } from "./race.ts";
import { printTable } from "./report.ts";
import { rowOf, type FailedRow, type Row } from "./result.ts";
import type { Scenario } from "./scenario.ts";
import { SCENARIOS } from "./scenarios.ts";
import { missesOf } from "./verdict.ts";

const DEFAULT_DRIVERS = ["anax"];
const QUICK = { scenarios: ["flash-8-1ms"], bytes: 128 * 1024 ** 2 };
const PARENT_CHECK_MS = 1_000;
const say = (text: string): void => void process.stderr.write(`${text}\n`);

process.exitCode = await main();

async function main(): Promise<number> {
  let flags: Flags;
  let scenarios: readonly Scenario[];
  let drivers: readonly Driver[];
  try {
    flags = parseFlags(process.argv.slice(2));
    scenarios = scenariosOf(flags);
    drivers = driversOf(flags);
  } catch (error) {
    say(`${(error as Error).message}\n${HELP}`);
    return 2;
  }
  if (flags.help) return (say(HELP), 0);
  if (flags.list) return (list(), 0);
  if (process.getuid?.() !== 0) return (say("It makes network namespaces, and so must run as root."), 2);
  if (!installBroadcastPackages()) return 1;
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => stop.abort(new Error(`ended by ${name}`));
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal); // a second one ends the process at once
  endWithParent(stop);
  const rows: (Row | FailedRow)[] = [];
  for (const scenario of scenarios) {
    if (stop.signal.aborted) break;
    rows.push(...(await play(scenario, drivers, flags, stop.signal)));
  }
  if (rows.length > 0) printTable(rows);
  if (flags.json) console.log(JSON.stringify({ rows: rows.map((row) => ({ ...row, misses: missesOf(row, rows) })) }));
  if (stop.signal.aborted || rows.some((row) => "failed" in row)) return 1;
  return flags.strict && rows.some((row) => missesOf(row, rows).length > 0) ? 1 : 0;
}

async function play(
  scenario: Scenario,
  drivers: readonly Driver[],
  flags: Flags,
  signal: AbortSignal,
): Promise<readonly (Row | FailedRow)[]> {
  const { name, title, n, bytes, required } = scenario;
  say(`\n${name}: ${title}; ${n} hosts, ${formatBytes(bytes)}`);
  await using scope = new AsyncDisposableStack();
  const content = await createContent(bytes, scope);
  const rows: (Row | FailedRow)[] = [];
  for (const driver of drivers) {
    const races: Race[] = [];
    try {
      for (let run = 1; run <= flags.runs; run++) {
        const logs = flags.logs === undefined ? undefined : join(resolve(flags.logs), `run-${run}`);
        races.push(await race(scenario, driver, { content, logs, keep: flags.keep, signal }));
        const row = rowOf(scenario, driver.name, races.slice(-1));
        say(
          `  ${driver.name.padEnd(12)} first ${row.secondsFirst.toFixed(1)}, median ${row.secondsMedian.toFixed(1)}, last ${row.secondsLast.toFixed(1)} s;` +
            ` bound ${row.boundSeconds.toFixed(1)} s, ratio ${row.ratioLast.toFixed(3)}; origin ${row.originCopies.toFixed(3)} copies;` +
            ` ${row.cpuSecondsPerGiB.toFixed(1)} CPU s/GiB, busy ${Math.round(row.busyShare * 100)} %`,
        );
      }
      rows.push(rowOf(scenario, driver.name, races));
    } catch (error) {
      if (signal.aborted) return rows;
      const failed = (error as Error).message;
      say(`  ${driver.name.padEnd(12)} failed: ${failed}`);
      rows.push({ scenario: name, driver: driver.name, n, failed, required });
    }
  }
  return rows;
}

function scenariosOf(flags: Flags): readonly Scenario[] {
  const names = flags.scenarios ?? (flags.quick ? QUICK.scenarios : SCENARIOS.map(({ name }) => name));
  const bytes = flags.bytes ?? (flags.quick ? QUICK.bytes : undefined);
  return names.map((name) => {
    const scenario = SCENARIOS.find((each) => each.name === name);
    if (scenario === undefined) throw new Error(`there is no scenario ${name}; --list names all`);
    return { ...scenario, n: flags.n ?? scenario.n, bytes: bytes ?? scenario.bytes, rateBits: flags.rateBits ?? scenario.rateBits };
  });
}

function driversOf(flags: Flags): readonly Driver[] {
  return (flags.drivers ?? DEFAULT_DRIVERS).map((name) => {
    if (name === "anax" || name === "anax-digest")
      return anax(name, { program: programOf(flags), set: flags.set, digest: name === "anax-digest" });
    throw new Error(`there is no driver ${name}`);
  });
}

function programOf({ anaxDist }: Flags): string {
  if (anaxDist === undefined) return builtProgram();
  const program = resolve(anaxDist, "bin/anax.js");
  if (!existsSync(program)) throw new Error(`there is no ${program}`);
  return program;
}

/** npm and the script that starts this do not pass signals on: when they are gone, nobody waits for the result. */
function endWithParent(stop: AbortController): void {
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || stop.abort(new Error("whoever started this has ended")), PARENT_CHECK_MS).unref();
}

/** Random bytes in memory, alone in a directory that an origin may serve. */
async function createContent(bytes: number, scope: AsyncDisposableStack): Promise<Content> {
  const directory = await mkdtemp("/dev/shm/anax-broadcast-content-");
  scope.defer(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "content");
  const hash = createHash("sha256");
  await using file = await open(path, "w");
  for (let left = bytes; left > 0;) {
    const block = randomBytes(Math.min(left, 1024 ** 2));
    hash.update(block);
    await file.write(block);
    left -= block.length;
  }
  return { path, bytes, sha256: hash.digest("hex") };
}

function list(): void {
  for (const { name, title, bound, required } of SCENARIOS)
    say(`${name.padEnd(16)} ${title}\n${" ".repeat(17)}bound: ${bound}; last host within ${required.ratioLast} of it`);
}
