// Slots with the same data moved by this store, and by `redis-cli --cluster reshard` between two redis-servers: keys a second, what writers see, and how long commands of other slots
// take meanwhile. Flags: --mib 64 --value 1024 --slots 500 --writes 30000 --servers redis,anax --rows half,moving,none. A table on standard error, and one line of JSON.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { installStoreBenchPackages } from "../../../scripts/setup.ts";
import { cpuSecondsOf } from "../../kit/process.ts";
import type { ServerName } from "../servers.ts";
import { fill, probe, write } from "./clients.ts";
import { keysIn } from "./keys.ts";
import { startPair, type Pair } from "./pair.ts";

const { values: flags } = parseArgs({
  options: {
    mib: { type: "string", default: "64" },
    value: { type: "string", default: "1024" },
    slots: { type: "string", default: "500" },
    writes: { type: "string", default: "30000" },
    servers: { type: "string", default: "redis,anax" },
    rows: { type: "string", default: "half,moving,none" },
  },
});
const numbers = [flags.mib, flags.value, flags.slots, flags.writes].map(Number) as [number, number, number, number];
const [mib, valueBytes, slots, writes] = numbers;
const IDLE_MS = 6000;
const STAYING_SLOTS = 500;
const STAYING_KEYS = 10_000;
/** Beyond what any server makes. */
const UNLIMITED = 1e9;

/**
 * What is written meanwhile: half of what the node makes, to slots that move and to others alike; so many keys a second of slots that move; nothing. In this order, there, back and there again: the first
 * has all slots at one node, whose capacity it is.
 */
const ROWS = ["half", "moving", "none"] as const;

interface Row {
  readonly server: ServerName;
  readonly load: (typeof ROWS)[number];
  /** Asked for; what was written while the slots moved; and before. */
  readonly writes: number;
  readonly written: number;
  readonly idleWritten: number;
  readonly seconds: number;
  readonly keysPerSecond: number;
  readonly redirected: number;
  readonly errors: number;
  readonly longestWriteMs: number;
  readonly p99Ms: number;
  /** With the same writes, and nothing moved. */
  readonly idleP99Ms: number;
  /** Processors that source, target and writer have used. */
  readonly cpus: readonly [number, number, number];
}

if (!installStoreBenchPackages()) process.exit(1);
const directory = mkdtempSync(join(tmpdir(), "anax-bench-migration-"));
await using scope = new AsyncDisposableStack();
scope.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
const moving = keysIn(Math.floor((mib * 1024 * 1024) / valueBytes), 0, slots);
const staying = keysIn(STAYING_KEYS, slots, slots + STAYING_SLOTS);
const rows: Row[] = [];

async function measure(name: ServerName): Promise<void> {
  await using pair = await startPair(name, join(directory, name));
  for (const keys of [moving, staying]) await fill(pair.ports[0], keys, valueBytes);
  let at: 0 | 1 = 0;
  for (const load of ROWS.filter((row) => flags.rows.split(",").includes(row))) {
    const row = await moved(pair, at, load);
    at = at === 0 ? 1 : 0;
    rows.push(row);
    console.error(
      `${name}, ${row.writes} writes/s wanted (${load}), ${row.idleWritten} made before, ${row.written} meanwhile: ${moving.count} keys of ${slots} slots in ${row.seconds} s ` +
        `(${row.keysPerSecond} keys/s), ${row.errors} errors, ${row.redirected} redirections, longest write ${row.longestWriteMs} ms; ` +
        `p99 of other slots ${row.idleP99Ms} ms before, ${row.p99Ms} ms meanwhile; processors ${row.cpus.join(" + ")}`,
    );
  }
}

async function moved(pair: Pair, at: 0 | 1, load: Row["load"]): Promise<Row> {
  const order = { ports: pair.ports, at, moving, staying: load === "half" ? staying : undefined, valueBytes };
  let perSecond = load === "none" ? 0 : writes;
  if (load === "half") perSecond = Math.round((await write({ ...order, perSecond: UNLIMITED }, sleep(IDLE_MS))).perSecond / 2);
  const during = async (work: Promise<unknown>) => {
    const [p99Ms, seen] = await Promise.all([probe(pair.ports[0], staying, work), write({ ...order, perSecond }, work), work]);
    return { p99Ms, seen };
  };
  const idle = await during(sleep(IDLE_MS));
  const to = at === 0 ? 1 : 0;
  const cpu = (): readonly [number, number] => [cpuSecondsOf(pair.pids[at]), cpuSecondsOf(pair.pids[to])];
  const timed = async (): Promise<{ readonly seconds: number; readonly spent: readonly number[] }> => {
    const [beganMs, [sourceBegan, targetBegan]] = [performance.now(), cpu()];
    await pair.move(slots, to);
    const [source, target] = cpu();
    return { seconds: (performance.now() - beganMs) / 1000, spent: [source - sourceBegan, target - targetBegan] };
  };
  const move = timed();
  const [{ p99Ms, seen }, { seconds, spent }] = await Promise.all([during(move), move]);
  return {
    server: pair.name,
    load,
    writes: perSecond,
    written: seen.perSecond,
    idleWritten: idle.seen.perSecond,
    seconds: Number(seconds.toFixed(2)),
    keysPerSecond: Math.round(moving.count / seconds),
    redirected: seen.redirected,
    errors: seen.errors,
    longestWriteMs: seen.longestMs,
    p99Ms: Number(p99Ms.toFixed(2)),
    idleP99Ms: Number(idle.p99Ms.toFixed(2)),
    cpus: [...spent, seen.cpuSeconds].map((one) => Number((one / seconds).toFixed(2))) as [number, number, number],
  };
}

for (const name of flags.servers.split(",") as ServerName[]) await measure(name);
console.log(JSON.stringify({ mib, valueBytes, slots, keys: moving.count, rows }));
