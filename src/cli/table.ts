import Table from "cli-table3";
import { colorsOn } from "./colors.ts";
import { printLine } from "./output.ts";

/** A plain table: readable on a terminal, cut by `awk` in a pipe. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[], right: readonly number[] = []): void {
  const table = new Table({
    head: head.map((text) => colorsOn(process.stdout).bold(text)),
    colAligns: head.map((_, column) => (right.includes(column) ? "right" : "left")),
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
    chars: NO_LINES,
  });
  table.push(...rows.map((row) => [...row]));
  for (const line of table.toString().split("\n")) printLine(line.trimEnd());
}

/** The beginning of a text that is too long for its column. */
export const cut = (text: string, width: number): string => (text.length <= width ? text : `${text.slice(0, width - 1)}…`);

const NO_LINES = Object.fromEntries(
  [
    "top",
    "top-mid",
    "top-left",
    "top-right",
    "bottom",
    "bottom-mid",
    "bottom-left",
    "bottom-right",
    "left",
    "left-mid",
    "mid",
    "mid-mid",
    "right",
    "right-mid",
    "middle",
  ].map((part) => [part, ""]),
);
