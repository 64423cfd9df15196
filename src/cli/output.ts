import { errorOf, specOf, systemCodeOf, type AnaxError } from "../base/errors.ts";

/** One line for a person, or one JSON line for a program, on standard error; the code is what scripts match on. */
export function printError(error: AnaxError, json: boolean): void {
  const { styleText } = process.getBuiltinModule("node:util");
  if (json)
    return void process.stderr.write(
      `${JSON.stringify({ error: { code: error.code, message: error.message, details: error.details } })}\n`,
    );
  process.stderr.write(`${styleText("red", "error", { stream: process.stderr })} ${error.code}: ${shown(error.message)}\n`);
  if (error.code === "internal" && error.stack !== undefined) process.stderr.write(`${error.stack}\n`);
}

/** Text from elsewhere must not write lines of its own, nor steer the terminal. */
const shown = (text: string): string => text.replaceAll(/\p{Cc}/gu, (sign) => JSON.stringify(sign).slice(1, -1));

/** Resolves once the bytes have left our memory. What goes wrong ends the process: see `endWithStdout`. */
export function writeStdout(bytes: Uint8Array): Promise<void> {
  return new Promise((done) => void process.stdout.write(bytes, (error) => !error && done()));
}

/** Output that nobody takes ends the process: silently when the reader has left, as `head` does, else with the reason. */
export function endWithStdout(): void {
  process.stdout.on("error", (thrown) => {
    if (systemCodeOf(thrown) === "EPIPE") process.exit(BROKEN_PIPE_EXIT);
    const error = errorOf(thrown);
    printError(error, false);
    process.exit(specOf(error).exit);
  });
}

/**
 * Ends the process at once after a success whose output has left our memory: until Node has taken itself apart, a shell would wait for nothing.
 * Else returns the exit code, for the end that waits for everything.
 */
export function leave(code: number): number {
  if (code === 0 && process.stdout.writableLength === 0 && process.stderr.writableLength === 0) process.exit(code);
  return code;
}

/** What a shell reports of a program that SIGPIPE ended. */
const BROKEN_PIPE_EXIT = 141;

export const printJson = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

export const printLine = (text = ""): void => void process.stdout.write(`${text}\n`);
