import Table from "cli-table3";
import pc from "picocolors";
import type { AnaxError } from "../base/errors.ts";

/** One line for a person, or one JSON line for a program, on standard error; the code is what scripts match on. */
export function printError(error: AnaxError, json: boolean): void {
  if (json)
    return void process.stderr.write(
      `${JSON.stringify({ error: { code: error.code, message: error.message, details: error.details } })}\n`,
    );
  process.stderr.write(`${pc.red("error")} ${error.code}: ${error.message}\n`);
  if (error.code === "internal" && error.stack !== undefined) process.stderr.write(`${error.stack}\n`);
}

export const printJson = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

export const printLine = (text = ""): void => void process.stdout.write(`${text}\n`);

/** A plain table: readable on a terminal, cut by `awk` in a pipe. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[], right: readonly number[] = []): void {
  const table = new Table({
    head: head.map((text) => (process.stdout.isTTY ? pc.bold(text) : text)),
    colAligns: head.map((_, column) => (right.includes(column) ? "right" : "left")),
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
    chars: NO_LINES,
  });
  table.push(...rows.map((row) => [...row]));
  for (const line of table.toString().split("\n")) printLine(line.trimEnd());
}

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
