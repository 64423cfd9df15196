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

export async function startSlices(server: Server, load: Omit<Load, "requests">, seconds: number): Promise<SlicedLoad> {
  const fill = (command: string): Promise<number> =>
    benchmark(server, { ...load, command, pipeline: 64, requests: 3 * load.keys }, loadOf(command));
  const measure = async (go: () => void, stop: () => void): Promise<Slice> => {
    if (load.command === "LPUSH") await server.call("DEL", "mylist"); // each slice finds the same
    const requestsBefore = await requestsOf(server);
    const cpuBefore = await cpuAtRest(server);
    const startedMs = performance.now();
    go();
    await sleep(1000 * seconds);
    stop();
    const ran = (performance.now() - startedMs) / 1000;
    const cpu = (await cpuAtRest(server)) - cpuBefore;
    const requests = (await requestsOf(server)) - requestsBefore;
    if (!(requests > 0)) throw new Error(`${server.name} has not run any ${load.command}`);
    return { perSecond: requests / ran, cpuUsPerRequest: (cpu * 1e6) / requests };
  };
  if (load.command === "GET") await fill("SET");
  const [program, ...args] = benchmarkCommand(server, { ...load, requests: REQUESTS_MAX }, loadOf(load.command));
  let child: ChildProcess | undefined;
  const stop = (): void => void child?.kill("SIGSTOP");
  const first = await measure(() => (child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] })), stop);
  if (load.command !== "GET" && load.command !== "LPUSH") await fill(load.command);
  return {
    first,
    slice: () => measure(() => child?.kill("SIGCONT"), stop),
    async [Symbol.asyncDispose]() {
      child?.kill("SIGCONT");
      if (child !== undefined) await endProcess(child);
    },
  };
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
