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
import { COMMANDS, loadOf, type Load } from "./load.ts";
import { startSlices, type Slice, type SlicedLoad } from "./slices.ts";

const { values: flags } = parseArgs({
  options: {
    commands: { type: "string", default: COMMANDS.join(",") },
    pipelines: { type: "string", default: "1,16,64" },
    values: { type: "string", default: "3,512" },
    /** Of four slices each: Redis, Anax, Anax, Redis. */
    rounds: { type: "string", default: "10" },
    /** Of a slice. */
    seconds: { type: "string", default: "0.1" },
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
  /** Between which the ratios of half of the rounds lie. */
  readonly cpuRatioSpread: readonly [number, number];
  /** Of the first slices, before those that count: of the first cell, a fresh server's. */
  readonly firstCpuRatio: number;
}

/** One of both servers. */
type Round = Readonly<Record<ServerName, Slice>>;

const SERVERS = ["redis", "anax"] as const;
/** While the ratio of a round is so many times that of any round before, one of the servers gets quicker still. */
const STEADY = 1.03;
const WARM_UPS_MAX = 12;

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
console.error(
  `redis-server ${servers.redis.version}; ${clients} clients, ${keys} keys, ${rounds} rounds of 4 slices of ${seconds} s, medians`,
);
console.error("spread: half of the rounds lie there; first: of the first slice, before what counts");
console.error("command  pipeline  bytes    redis/s     anax/s  us redis   anax    rps    CPU     spread  first");

const rows: Row[] = [];
for (const command of flags.commands.split(",").map((name) => name.toUpperCase()))
  for (const valueBytes of loadOf(command).hasValue ? numbers(flags.values) : [numbers(flags.values)[0]!])
    for (const pipeline of numbers(flags.pipelines)) rows.push(await compare({ command, valueBytes, pipeline, clients, keys }));

const memory = Number(flags["memory-keys"]) === 0 ? undefined : await compareMemory(Number(flags["memory-keys"]));
if (flags.json) console.log(JSON.stringify({ rows, ...(memory !== undefined && { memory }) }));

async function compare(load: Omit<Load, "requests">): Promise<Row> {
  await using loads = new AsyncDisposableStack();
  const sliced = {
    redis: loads.use(await startSlices(servers.redis, load, seconds)),
    anax: loads.use(await startSlices(servers.anax, load, seconds)),
  };
  await warmUp(sliced);
  const counted: Round[] = [];
  for (let round = 0; round < rounds; round++) counted.push(await runRound(sliced));
  const cpuRatios = counted.map(cpuRatioOf);
  const row = {
    command: load.command,
    pipeline: load.pipeline,
    valueBytes: load.valueBytes,
    rpsRatio: rounded(median(counted.map(({ redis, anax }) => anax.perSecond / redis.perSecond))),
    cpuRatio: rounded(median(cpuRatios)),
    cpuRatioSpread: [rounded(quantile(cpuRatios, 0.25)), rounded(quantile(cpuRatios, 0.75))] as const,
    firstCpuRatio: rounded(cpuRatioOf({ redis: sliced.redis.first, anax: sliced.anax.first })),
  };
  const cells = [
    row.command.padEnd(8),
    String(row.pipeline).padStart(8),
    String(row.valueBytes).padStart(6),
    ...SERVERS.map((name) =>
      median(counted.map((round) => round[name].perSecond))
        .toFixed(0)
        .padStart(10),
    ),
    ...SERVERS.map((name) =>
      median(counted.map((round) => round[name].cpuUsPerRequest))
        .toFixed(2)
        .padStart(7),
    ),
    row.rpsRatio.toFixed(2).padStart(6),
    row.cpuRatio.toFixed(2).padStart(6),
    row.cpuRatioSpread
      .map((ratio) => ratio.toFixed(2))
      .join("-")
      .padStart(11),
    row.firstCpuRatio.toFixed(2).padStart(6),
  ];
  console.error(cells.join(" "));
  return row;
}

/** One server, the other one twice, and the first again: what changes on the machine meanwhile meets both. */
async function runRound(sliced: Record<ServerName, SlicedLoad>): Promise<Round> {
  const [a, b, c, d] = [await sliced.redis.slice(), await sliced.anax.slice(), await sliced.anax.slice(), await sliced.redis.slice()];
  return { redis: mean(a, d), anax: mean(b, c) };
}

function mean(a: Slice, b: Slice): Slice {
  return { perSecond: (a.perSecond + b.perSecond) / 2, cpuUsPerRequest: (a.cpuUsPerRequest + b.cpuUsPerRequest) / 2 };
}

/** Runs both until the ratio goes up no more, or for a while. */
async function warmUp(sliced: Record<ServerName, SlicedLoad>): Promise<void> {
  let [before, last] = [0, cpuRatioOf(await runRound(sliced))];
  for (let left = WARM_UPS_MAX; last > STEADY * before && left > 0; left--)
    [before, last] = [Math.max(before, last), cpuRatioOf(await runRound(sliced))];
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
  return { bytesPerKey, ratio: rounded(measured.redis / measured.anax) };
}

function cpuRatioOf({ redis, anax }: Round): number {
  return redis.cpuUsPerRequest / anax.cpuUsPerRequest;
}

function rounded(ratio: number): number {
  return Number(ratio.toFixed(3));
}

/** Of so many values, the one that this part of them lies below. */
function quantile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.round(part * (values.length - 1))]!; // there are some
}
