// One redis-benchmark for each server, stopped but for slices of time: so the two take turns many times a second, without connecting anew.
import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { cpuSecondsOf, endProcess } from "../kit/process.ts";
import { benchmark, benchmarkCommand, loadOf, type Load } from "./load.ts";
import type { Server } from "./servers.ts";

export interface Slice {
  readonly perSecond: number;
  /** CPU microseconds of the server for one request. */
  readonly cpuUsPerRequest: number;
}

/** A load that stands still between its slices. */
export interface SlicedLoad extends AsyncDisposable {
  /** What came before anything else, with connecting. */
  readonly first: Slice;
  slice(): Promise<Slice>;
}

/** More than any run sends. */
const REQUESTS_MAX = 2_000_000_000;
/** A server that has done nothing for so long has answered all that was sent to it. */
const REST_MS = 2;
const RESTS_MAX = 500;
/** On a busy machine a slice may be too short to begin in. */
const TRIES_MAX = 50;

export async function startSlices(server: Server, load: Omit<Load, "requests">, seconds: number): Promise<SlicedLoad> {
  const fill = (command: string): Promise<number> =>
    benchmark(server, { ...load, command, pipeline: 64, requests: 3 * load.keys }, loadOf(command));
  const measure = async (go: () => void): Promise<Slice> => {
    if (load.command === "LPUSH") await server.call("DEL", "mylist"); // each slice finds the same
    const requestsBefore = await requestsOf(server);
    const cpuBefore = await cpuAtRest(server);
    let [ran, cpu, requests] = [0, 0, 0];
    for (let left = TRIES_MAX; requests <= 0; left--) {
      if (left === 0) throw new Error(`${server.name} has not run any ${load.command}`);
      const startedMs = performance.now();
      if (ran === 0) go();
      else resume();
      await sleep(1000 * seconds);
      child?.kill("SIGSTOP");
      ran += (performance.now() - startedMs) / 1000;
      cpu = (await cpuAtRest(server)) - cpuBefore;
      requests = (await requestsOf(server)) - requestsBefore - (TRIES_MAX - left + 1); // without those that ask for this
    }
    return { perSecond: requests / ran, cpuUsPerRequest: (cpu * 1e6) / requests };
  };
  if (load.command === "GET") await fill("SET");
  // Without this process it would run, or stand still, for ever.
  const args = ["--pdeathsig", "KILL", ...benchmarkCommand(server, { ...load, requests: REQUESTS_MAX }, loadOf(load.command))];
  let child: ChildProcess | undefined;
  const resume = (): void => void child?.kill("SIGCONT");
  const end = async (): Promise<void> => {
    resume();
    if (child !== undefined) await endProcess(child);
  };
  const go = (): void => void (child = spawn("setpriv", args, { stdio: ["ignore", "ignore", "inherit"] }));
  try {
    const first = await measure(go);
    if (load.command !== "GET" && load.command !== "LPUSH") await fill(load.command);
    return { first, slice: () => measure(resume), [Symbol.asyncDispose]: end };
  } catch (thrown) {
    await end();
    throw thrown;
  }
}

async function cpuAtRest(server: Server): Promise<number> {
  let cpu = cpuSecondsOf(server.pid);
  for (let left = RESTS_MAX; left > 0; left--) {
    await sleep(REST_MS);
    const before = cpu;
    cpu = cpuSecondsOf(server.pid);
    if (cpu === before) return cpu;
  }
  throw new Error(`${server.name} does not come to rest`);
}

const requestsOf = async (server: Server): Promise<number> =>
  Number(/total_commands_processed:(\d+)/.exec(await server.call("INFO", "stats"))?.[1]);
