import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { endProcess, pidOf } from "../process.ts";
import { command } from "./command.ts";

/** Holds every packet that arrives in one of the namespaces for a while. Disposing ends it. */
export interface DelayLine extends AsyncDisposable {
  readonly pid: number;
}

const SOURCE = new URL("delay-line.c", import.meta.url).pathname;

export async function startDelayLine(options: {
  readonly delayMs: number;
  readonly namespaces: readonly string[];
  readonly workDirectory: string;
}): Promise<DelayLine> {
  const program = join(options.workDirectory, "delay-line");
  await command("gcc", ["-O2", "-Wall", "-o", program, SOURCE]);
  const child = spawn(program, [`${Math.round(options.delayMs * 1000)}`, ...options.namespaces], { stdio: ["ignore", "pipe", "inherit"] });
  const first = await createInterface(child.stdout)[Symbol.asyncIterator]().next();
  if (first.done === true) throw new Error("the delay line ended before it was ready; see above");
  return { pid: pidOf(child), [Symbol.asyncDispose]: () => endProcess(child) };
}
