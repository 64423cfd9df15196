import { must } from "../../test/kit/process.ts";
import { cpuSecondsOf } from "../kit/process.ts";
import type { Server } from "./servers.ts";

export interface Load {
  /** In capitals. */
  readonly command: string;
  readonly pipeline: number;
  readonly valueBytes: number;
  readonly clients: number;
  readonly requests: number;
  /** Of which keys, or members of one key, are taken at random. */
  readonly keys: number;
}

export interface Ran {
  readonly perSecond: number;
  /** CPU microseconds of the server for one request. */
  readonly cpuUsPerRequest: number;
}

interface Kind {
  readonly hasValue: boolean;
  readonly arguments: readonly string[];
}

const KEY = "key:__rand_int__";
const KINDS: Readonly<Record<string, Kind>> = {
  GET: { hasValue: true, arguments: ["GET", KEY] },
  SET: { hasValue: true, arguments: ["SET", KEY, "VALUE"] },
  INCR: { hasValue: false, arguments: ["INCR", "counter:__rand_int__"] },
  LPUSH: { hasValue: true, arguments: ["LPUSH", "mylist", "VALUE"] },
  ZADD: { hasValue: false, arguments: ["ZADD", "myzset", "__rand_int__", "element:__rand_int__"] },
  HSET: { hasValue: true, arguments: ["HSET", "myhash", "element:__rand_int__", "VALUE"] },
};

export const COMMANDS = Object.keys(KINDS);

export function loadOf(command: string): Kind {
  const kind = KINDS[command];
  if (kind === undefined) throw new Error(`no such command in this benchmark: ${command}; there are ${COMMANDS.join(", ")}`);
  return kind;
}

/** The core that the load has. */
const LOAD_CORE = "0";

/** Moves this process, which is the load itself then, to the load's core. */
export const pinToLoadCore = (): Promise<string> => must("taskset", ["-apc", LOAD_CORE, String(process.pid)]);

/** Sends so many requests. Before a GET all keys are set, before a LPUSH the list is emptied, so that each run finds the same. */
export async function runLoad(server: Server, load: Load): Promise<Ran> {
  const kind = loadOf(load.command);
  if (load.command === "GET") await benchmark(server, { ...load, command: "SET", pipeline: 64, requests: 3 * load.keys }, loadOf("SET"));
  if (load.command === "LPUSH") await server.call("DEL", "mylist");
  const before = cpuSecondsOf(server.pid);
  const perSecond = await benchmark(server, load, kind);
  return { perSecond, cpuUsPerRequest: ((cpuSecondsOf(server.pid) - before) * 1e6) / load.requests };
}

/** Requests per second that redis-benchmark gets. */
export async function benchmark(server: Server, load: Load, kind: Kind): Promise<number> {
  const [program, ...args] = benchmarkCommand(server, load, kind);
  const printed = await must(program, args, { timeoutMs: 300_000 });
  const fields = printed
    .trim()
    .split("\n")
    .at(-1)!
    .match(/"([^"]*)"/g);
  const perSecond = Number(fields?.[1]?.replaceAll('"', ""));
  if (!(perSecond > 0)) throw new Error(`redis-benchmark said: ${printed}`);
  return perSecond;
}

/** The command line of redis-benchmark, on the load's core. */
export function benchmarkCommand(server: Server, load: Load, kind: Kind): readonly [string, ...string[]] {
  const value = "x".repeat(load.valueBytes);
  const args = ["-p", server.port, "-c", load.clients, "-n", load.requests, "-P", load.pipeline, "-r", load.keys, "--csv"].map(String);
  const command = kind.arguments.map((argument) => (argument === "VALUE" ? value : argument));
  return ["taskset", "-c", LOAD_CORE, "redis-benchmark", ...args, ...command];
}
