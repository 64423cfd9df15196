import { spawn } from "node:child_process";
import { realClock } from "../../base/clock.ts";

export interface ProgramEnd {
  /** Exit code; undefined when it could not be started, was killed, or took too long. */
  readonly code: number | undefined;
  readonly output: string;
}

const TIMEOUT_MS = 10_000;
const OUTPUT_BYTES_MAX = 4096;

/** Runs a small program of the system to its end, without holding anybody up. `descriptors` are its numbers from 3 on. */
export function runProgram(command: string, args: readonly string[], descriptors: readonly number[] = []): Promise<ProgramEnd> {
  const { promise, resolve } = Promise.withResolvers<ProgramEnd>();
  const child = spawn(command, [...args], {
    stdio: ["ignore", "pipe", "pipe", ...descriptors],
    env: { ...process.env, LC_ALL: "C" },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => {
      if (output.length < OUTPUT_BYTES_MAX) output += chunk.toString("latin1");
    });
  const late = realClock.timer(TIMEOUT_MS, () => {
    child.kill("SIGKILL");
    end(undefined); // one that hangs in the kernel cannot be killed: nobody waits for it
  });
  const end = (code: number | undefined): void => {
    late[Symbol.dispose]();
    child.unref();
    resolve({ code, output: output.trim() });
  };
  child.once("error", () => end(undefined));
  child.once("close", (code) => end(code ?? undefined));
  return promise;
}
