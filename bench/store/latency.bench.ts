// How long GETs of many keys take at half load, beside Debian's redis-server: each server is filled, its highest rate is taken by redis-benchmark (50 clients, 16
// requests at once each), and half of it is asked for at a fixed pace, whatever the server does. Flags: --keys 1000000 --value 32 --seconds 10. Prints a table for people on
// standard error, and one line of JSON. It needs 2 GB of memory.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installStoreBenchPackages } from "../../scripts/setup.ts";
import { cpuSecondsOf } from "../kit/process.ts";
import { feed } from "./feed.ts";
import { stringCommands } from "./fills.ts";
import { benchmark, loadOf, pinToLoadCore } from "./load.ts";
import { pacedGets, type Paced } from "./paced-gets.ts";
import { startServer, type ServerName } from "./servers.ts";

const { values: flags } = parseArgs({
  options: {
    keys: { type: "string", default: "1000000" },
    value: { type: "string", default: "32" },
    seconds: { type: "string", default: "10" },
  },
});
const [keys, valueBytes, seconds] = [flags.keys, flags.value, flags.seconds].map(Number) as [number, number, number];
const [CLIENTS, PIPELINE] = [50, 16];
/** Of the client that keeps the pace: with more of them its own system calls would be what takes the time. */
const CONNECTIONS = 8;
/** For the highest rate: the first ones until it is warm, then those that count. */
const REQUESTS = [1_000_000, 1_000_000] as const;

interface Row extends Paced {
  readonly server: ServerName;
  readonly keys: number;
  readonly residentBytes: number;
  readonly fillPerSecond: number;
  readonly highestPerSecond: number;
  readonly perSecond: number;
  /** Of the server's core, while it was asked at that pace. */
  readonly cpuShare: number;
}

if (!installStoreBenchPackages()) process.exit(1);
await pinToLoadCore();
await using scope = new AsyncDisposableStack();
const directory = mkdtempSync(join(tmpdir(), "anax-bench-store-"));
scope.defer(() => rmSync(directory, { recursive: true }));

async function measure(name: ServerName): Promise<Row> {
  await using server = await startServer(name, join(directory, name));
  const fillsMs = performance.now();
  await feed(server.port, stringCommands(keys, valueBytes));
  const fillPerSecond = Math.round((keys * 1000) / (performance.now() - fillsMs));
  let highestPerSecond = 0;
  for (const requests of REQUESTS)
    highestPerSecond = await benchmark(
      server,
      { command: "GET", pipeline: PIPELINE, valueBytes, clients: CLIENTS, requests, keys },
      loadOf("GET"),
    );
  const perSecond = Math.round(highestPerSecond / 2);
  const cpuBefore = cpuSecondsOf(server.pid);
  const paced = await pacedGets({
    port: server.port,
    perSecond,
    connections: CONNECTIONS,
    keys,
    signal: AbortSignal.timeout(seconds * 1000),
  });
  const cpuShare = Number(((cpuSecondsOf(server.pid) - cpuBefore) / seconds).toFixed(3));
  return { server: name, keys, residentBytes: server.memory(), fillPerSecond, highestPerSecond, perSecond, cpuShare, ...paced };
}

const rows: Row[] = [];
for (const name of ["redis", "anax"] as const) {
  const row = await measure(name);
  rows.push(row);
  console.error(
    `${name}: ${row.perSecond} GET/s of ${row.highestPerSecond.toFixed(0)}, CPU ${(row.cpuShare * 100).toFixed(0)} %: p50 ${row.p50Ms} ms, p99 ${row.p99Ms} ms, ` +
      `p99.9 ${row.p999Ms} ms, longest ${row.maxMs} ms (client late ${row.lateMs} ms); ${(row.residentBytes / 1e6).toFixed(0)} MB`,
  );
}
console.log(JSON.stringify({ bench: "store/latency", rows }));
