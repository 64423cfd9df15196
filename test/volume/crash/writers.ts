import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { realClock } from "../../../src/base/clock.ts";
import { apply, type Files, type Operation } from "./operations.ts";

const WRITER = join(import.meta.dirname, "writer-process.ts");
const END_TIMEOUT_MS = 60_000;

/** A process that changes files, and what it has been told about them. */
export interface Writer {
  /** Confirmed, of all writers of this directory. */
  readonly files: Files;
  /** What had begun and was not confirmed. */
  underWay: Operation | undefined;
  /** Code of the error that ended it. */
  failed: string | undefined;
  readonly ended: Promise<unknown>;
  /** Lets it end after what it is about to do; false: it did not, and was killed. */
  stop(): Promise<boolean>;
  kill(): void;
}

/** Writes below `dir` until it is stopped or the file system fails; `confirmed` is called for each operation. */
export function startWriter(
  dir: string,
  { seed, files, confirmed }: { readonly seed: number; readonly files: Files; readonly confirmed: () => void },
): Writer {
  const args = ["--disable-warning=ExperimentalWarning", WRITER, dir, String(seed)];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.on("error", () => undefined); // it has ended by itself
  const ended = Promise.all([once(child, "close"), once(child.stdout, "close")]);
  const writer: Writer = {
    files,
    underWay: undefined,
    failed: undefined,
    ended,
    stop: () => stopped(child, ended),
    kill: () => void child.kill("SIGKILL"),
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    const said = JSON.parse(line) as Operation | "done" | { readonly failed: string };
    if (said === "done") {
      apply(files, writer.underWay!); // it says what it is about to do before
      writer.underWay = undefined;
      confirmed();
    } else if ("failed" in said) writer.failed = said.failed;
    else writer.underWay = said;
  });
  return writer;
}

async function stopped(child: ChildProcess, ended: Promise<unknown>): Promise<boolean> {
  child.stdin?.end();
  using _late = realClock.timer(END_TIMEOUT_MS, () => void child.kill("SIGKILL"));
  await ended;
  return child.signalCode === null;
}
