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
