import { join, resolve } from "node:path";
import { formatBytes } from "../../src/base/units.ts";
import type { Round } from "./choice.ts";
import { createContent } from "./content.ts";
import { race, type Race } from "./race.ts";
import { rowOf, type FailedRow, type Row } from "./result.ts";

export interface PlayOptions {
  readonly runs: number;
  /** Brought first by services that run all the time; not more than the content itself. */
  readonly warmBytes: number;
  /** Gets the logs of all processes. */
  readonly logs: string | undefined;
  readonly keep: boolean;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** All drivers through one scenario, in turns, so that a busy neighbour hits all of them; none again that has failed. */
export async function play({ scenario, drivers }: Round, options: PlayOptions): Promise<readonly (Row | FailedRow)[]> {
  const { name, title, n, bytes, rateBits, required } = scenario;
  const { runs, warmBytes, logs, keep, signal, say } = options;
  say(`\n${name}: ${title}; ${n} hosts, ${formatBytes(bytes)}, ${rateBits / 1e6} Mbit/s`);
  await using scope = new AsyncDisposableStack();
  const content = await createContent({ bytes, warmBytes: Math.min(warmBytes, bytes) }, scope);
  const races = new Map<string, Race[]>(drivers.map((driver) => [driver.name, []]));
  const failures = new Map<string, string>();
  for (let run = 1; run <= runs; run++) {
    for (const driver of drivers) {
      if (signal.aborted || failures.has(driver.name)) continue;
      try {
        const where = logs === undefined ? undefined : join(resolve(logs), `run-${run}`);
        const done = await race(scenario, driver, {
          content,
          logs: where,
          keep,
          signal,
          onWait: () => say("  another benchmark runs on this machine; waiting for its end"),
        });
        races.get(driver.name)!.push(done); // every driver has a list
        say(`  ${driver.name.padEnd(12)} ${wordsOf(rowOf(scenario, driver.name, [done]))}`);
      } catch (error) {
        if (signal.aborted) break;
        failures.set(driver.name, (error as Error).message);
        say(`  ${driver.name.padEnd(12)} failed: ${(error as Error).message}`);
      }
    }
  }
  return drivers.flatMap((driver): (Row | FailedRow)[] => {
    const failed = failures.get(driver.name);
    if (failed !== undefined) return [{ scenario: name, driver: driver.name, n, failed, required }];
    const done = races.get(driver.name)!; // every driver has a list
    return done.length === 0 ? [] : [rowOf(scenario, driver.name, done)];
  });
}

const wordsOf = (row: Row): string =>
  [
    `first ${row.secondsFirst.toFixed(1)}, median ${row.secondsMedian.toFixed(1)}, last ${row.secondsLast.toFixed(1)} s`,
    `bound ${row.boundSeconds.toFixed(1)} s, ratio ${row.ratioLast.toFixed(3)}`,
    `origin ${row.originCopies.toFixed(3)} copies${row.coreCopies === undefined ? "" : `, core ${row.coreCopies.toFixed(2)}`}`,
    `${row.cpuSecondsPerGiB.toFixed(1)} CPU s/GiB, busy ${Math.round(row.busyShare * 100)} %`,
  ].join("; ");
