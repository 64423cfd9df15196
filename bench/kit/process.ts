import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";

/** A child process that says when it is ready. Disposing ends it and waits. */
export interface Child extends AsyncDisposable {
  readonly pid: number;
  /** What its first line on standard output says, as JSON. */
  readonly ready: unknown;
}

/** Runs one of our own scripts with the same Node; its first line of output is JSON and means that it is ready. */
export async function startScript(path: string, args: readonly string[]): Promise<Child> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", path, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) throw new Error(`${path} ended before it was ready`);
  return { pid: pidOf(child), ready: JSON.parse(first.value) as unknown, [Symbol.asyncDispose]: () => endProcess(child) };
}

/** Runs a script to its end; its last line of output is JSON. */
export async function runScript(path: string, args: readonly string[]): Promise<unknown> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", path, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close") as Promise<[number | null]>;
  let last = "";
  for await (const line of createInterface(child.stdout)) last = line;
  const [status] = await ended;
  if (status !== 0) throw new Error(`${path} failed with status ${status}`);
  return JSON.parse(last) as unknown;
}

export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}

export function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error("the process did not start");
  return child.pid;
}

/** Seconds that a process, all its threads and its children have spent on a CPU; from Linux' scheduler, so in nanosecond steps. */
export function cpuSecondsOf(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  }
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  return nanoseconds / 1e9 + children.reduce((sum, child) => sum + cpuSecondsOf(Number(child)), 0);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2; // not empty
}
