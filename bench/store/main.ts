// The store beside Debian's redis-server: the same commands by the same redis-benchmark, in turns, each server alone on one core and the load on another.
// Prints a table for people on standard error; with --json the last line of standard output has the rows. A ratio above 1: better than Redis.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installStoreBenchPackages } from "../../scripts/setup.ts";
import { median } from "../kit/process.ts";
import { measureMemory, type MemoryOf } from "./memory.ts";
import { startServer, type Server, type ServerName } from "./servers.ts";
import { COMMANDS, loadOf, runLoad, type Load } from "./load.ts";

const { values: flags } = parseArgs({
  options: {
    commands: { type: "string", default: COMMANDS.join(",") },
    pipelines: { type: "string", default: "1,16,64" },
    values: { type: "string", default: "3,512" },
    rounds: { type: "string", default: "5" },
    /** Of one run of one server, about; the number of requests follows from a first try. */
    seconds: { type: "string", default: "2" },
    clients: { type: "string", default: "50" },
    keys: { type: "string", default: "100000" },
    "memory-keys": { type: "string", default: "1000000" },
    json: { type: "boolean", default: false },
  },
});

interface Row {
  readonly command: string;
  readonly pipeline: number;
  readonly valueBytes: number;
  readonly rpsRatio: number;
  readonly cpuRatio: number;
  /** Of the first run, before those that count: of the first cell, a fresh server's. */
  readonly firstCpuRatio: number;
}

const SERVERS = ["redis", "anax"] as const;
/** A server that needs less than this part of what it needed in the run before gets quicker still. */
const STEADY = 0.9;
const WARM_UPS_MAX = 4;
/** To know how quick a server is, about. */
const TRIED_REQUESTS = 20_000;

const numbers = (text: string): readonly number[] => text.split(",").map(Number);
const [rounds, seconds, clients, keys] = [flags.rounds, flags.seconds, flags.clients, flags.keys].map(Number) as [
  number,
  number,
  number,
  number,
];

if (!installStoreBenchPackages()) process.exit(1);
await using scope = new AsyncDisposableStack();
const directory = mkdtempSync(join(tmpdir(), "anax-bench-store-"));
scope.defer(() => rmSync(directory, { recursive: true }));

const servers: Record<ServerName, Server> = {
  redis: scope.use(await startServer("redis", join(directory, "redis"))),
  anax: scope.use(await startServer("anax", join(directory, "anax"))),
};
console.error(`redis-server ${servers.redis.version}; ${clients} clients, ${keys} keys, ${rounds} rounds of about ${seconds} s, medians`);
console.error(
  'A server runs all the time: before what counts each has done a run of the same length, whose CPU ratio stands under "first".',
);
console.error("command  pipeline  bytes    redis/s     anax/s   rps    CPU  first");

const rows: Row[] = [];
for (const command of flags.commands.split(",").map((name) => name.toUpperCase()))
  for (const valueBytes of loadOf(command).hasValue ? numbers(flags.values) : [numbers(flags.values)[0]!])
    for (const pipeline of numbers(flags.pipelines)) rows.push(await compare({ command, valueBytes, pipeline, clients, keys }));

const memory = Number(flags["memory-keys"]) === 0 ? undefined : await compareMemory(Number(flags["memory-keys"]));
if (flags.json) console.log(JSON.stringify({ rows, ...(memory !== undefined && { memory }) }));

async function compare(load: Omit<Load, "requests">): Promise<Row> {
  const requests: Record<ServerName, number> = { redis: 0, anax: 0 };
  const firstUs: Record<ServerName, number> = { redis: 0, anax: 0 };
  for (const name of SERVERS) {
    const tried = await runLoad(servers[name], { ...load, requests: TRIED_REQUESTS });
    requests[name] = Math.max(TRIED_REQUESTS, Math.round(tried.perSecond * seconds));
    const first = await runLoad(servers[name], { ...load, requests: requests[name] });
    firstUs[name] = (tried.cpuUsPerRequest * TRIED_REQUESTS + first.cpuUsPerRequest * requests[name]) / (TRIED_REQUESTS + requests[name]);
  }
  await warmUp(load, requests, firstUs);
  const perSecond: Record<ServerName, number[]> = { redis: [], anax: [] };
  const cpuUs: Record<ServerName, number[]> = { redis: [], anax: [] };
  for (let round = 0; round < rounds; round++)
    for (const name of round % 2 === 0 ? SERVERS : SERVERS.toReversed()) {
      const ran = await runLoad(servers[name], { ...load, requests: requests[name] });
      perSecond[name].push(ran.perSecond);
      cpuUs[name].push(ran.cpuUsPerRequest);
    }
  const [redis, anax] = [median(perSecond.redis), median(perSecond.anax)];
  const row = {
    command: load.command,
    pipeline: load.pipeline,
    valueBytes: load.valueBytes,
    rpsRatio: ratio(anax, redis),
    cpuRatio: ratio(median(cpuUs.redis), median(cpuUs.anax)),
    firstCpuRatio: ratio(firstUs.redis, firstUs.anax),
  };
  const cells = [
    row.command.padEnd(8),
    String(row.pipeline).padStart(8),
    String(row.valueBytes).padStart(6),
    redis.toFixed(0).padStart(10),
    anax.toFixed(0).padStart(10),
    row.rpsRatio.toFixed(2).padStart(5),
    row.cpuRatio.toFixed(2).padStart(6),
    row.firstCpuRatio.toFixed(2).padStart(6),
  ];
  console.error(cells.join(" "));
  return row;
}

/** Runs both until neither gets quicker, or a few times. */
async function warmUp(
  load: Omit<Load, "requests">,
  requests: Record<ServerName, number>,
  firstUs: Record<ServerName, number>,
): Promise<void> {
  const before = { ...firstUs };
  for (let left = WARM_UPS_MAX, quicker = true; quicker && left > 0; left--) {
    quicker = false;
    for (const name of SERVERS) {
      const { cpuUsPerRequest } = await runLoad(servers[name], { ...load, requests: requests[name] });
      quicker ||= cpuUsPerRequest < STEADY * before[name];
      before[name] = cpuUsPerRequest;
    }
  }
}

/** Bytes that a key takes, of 16 bytes with a value of 32: in fresh servers, by what the process has more of in memory afterwards. */
async function compareMemory(count: number): Promise<MemoryOf & { readonly ratio: number }> {
  const measured = { redis: 0, anax: 0 };
  for (const name of SERVERS) {
    await using fresh = await startServer(name, join(directory, `${name}-memory`));
    measured[name] = await measureMemory(fresh, count);
  }
  const bytesPerKey = { redis: Math.round(measured.redis), anax: Math.round(measured.anax) };
  console.error(`memory: ${bytesPerKey.redis} bytes per key in Redis, ${bytesPerKey.anax} here`);
  return { bytesPerKey, ratio: ratio(measured.redis, measured.anax) };
}

function ratio(a: number, b: number): number {
  return Number((a / b).toFixed(3));
}
