import Table from "cli-table3";
import { colorsOn } from "../../src/cli/colors.ts";
import { formatBytes } from "../../src/base/units.ts";
import type { FailedRow, Row } from "./result.ts";
import { isOurs, missesOf } from "./verdict.ts";

const HEAD = [
  "scenario",
  "driver",
  "first",
  "median",
  "last",
  "bound",
  "ratio",
  "origin",
  "core",
  "CPU s/GiB",
  "memory",
  "busy",
  "crowded",
  "required",
];

/** A table for people, on standard error, so that standard output is for programs. */
export function printTable(rows: readonly (Row | FailedRow)[]): void {
  const pc = colorsOn(process.stderr);
  const table = new Table({ head: HEAD.map(pc.bold), style: { head: [], border: [] } });
  for (const row of rows) {
    const misses = missesOf(row, rows);
    const verdict = !isOurs(row.driver) ? "" : misses.length === 0 ? pc.green("met") : pc.red(misses.join(", "));
    if ("failed" in row) table.push([row.scenario, row.driver, { colSpan: HEAD.length - 2, content: pc.red(row.failed.slice(0, 100)) }]);
    else table.push([...cellsOf(row), verdict]);
  }
  process.stderr.write(`${table.toString()}\n${NOTES}\n`);
}

function cellsOf(row: Row): string[] {
  return [
    row.scenario,
    row.driver,
    seconds(row.secondsFirst),
    seconds(row.secondsMedian),
    seconds(row.secondsLast),
    seconds(row.boundSeconds),
    row.runs > 1 ? `${row.ratioLast.toFixed(2)} (worst ${row.ratioLastWorst.toFixed(2)})` : row.ratioLast.toFixed(2),
    row.originCopies.toFixed(2),
    row.coreCopies?.toFixed(2) ?? "",
    row.cpuSecondsPerGiB.toFixed(1),
    formatBytes(row.peakResidentMiB * 1024 ** 2),
    percent(row.busyShare),
    percent(row.crowdedShare),
  ];
}

const NOTES = `Seconds until the first, median and last host had the content; the bound on raw rates (headers alone make 1.045 the best ratio);
origin and core: bytes on the wire in copies; memory: the largest process; busy: share of the cores in use; crowded: share of the seconds
with more than 90 % in use, when CPU and not the network may have decided.`;

const seconds = (value: number): string => value.toFixed(1);
const percent = (share: number): string => `${Math.round(share * 100)} %`;
