// Slots with the same data moved by this store, and by `redis-cli --cluster reshard` between two redis-servers: keys a second, what writers of these slots see,
// and how long commands of other slots take meanwhile. Flags: --mib 64 --value 1024 --slots 500 --writes 30000. A table on standard error, and one line of JSON.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { installStoreBenchPackages } from "../../../scripts/setup.ts";
import type { ServerName } from "../servers.ts";
import { fill, keysIn, probe, write } from "./clients.ts";
import { startPair } from "./pair.ts";
import type { Written } from "./writer-process.ts";

const { values: flags } = parseArgs({
  options: {
    mib: { type: "string", default: "64" },
    value: { type: "string", default: "1024" },
    slots: { type: "string", default: "500" },
    writes: { type: "string", default: "30000" },
  },
});
const [mib, valueBytes, slots, writes] = [flags.mib, flags.value, flags.slots, flags.writes].map(Number) as [
  number,
  number,
  number,
  number,
];
const IDLE_MS = 3000;
const PROBED_KEYS = 100;

interface Row {
  readonly server: ServerName;
  /** Asked for; what was written. */
  readonly writes: number;
  readonly written: number;
  /** When nothing is moved. */
  readonly idleWritten: number;
  readonly seconds: number;
  readonly keysPerSecond: number;
  readonly redirected: number;
  readonly errors: number;
  readonly p99Ms: number;
  /** With the same writes, and nothing moved. */
  readonly idleP99Ms: number;
}

if (!installStoreBenchPackages()) process.exit(1);
const directory = mkdtempSync(join(tmpdir(), "anax-bench-migration-"));
await using scope = new AsyncDisposableStack();
scope.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
const moving = keysIn(Math.floor((mib * 1024 * 1024) / valueBytes), 0, slots);
const staying = keysIn(PROBED_KEYS, slots, 16_384);
const rows: Row[] = [];

async function measure(name: ServerName): Promise<void> {
  await using pair = await startPair(name, join(directory, name));
  await fill(pair.ports[0], [...moving, ...staying], valueBytes);
  // There without writes, and back with them.
  for (const [to, perSecond] of [
    [1, 0],
    [0, writes],
  ] as const) {
    const during = async <T>(work: Promise<T>): Promise<{ readonly p99Ms: number; readonly seen: Written }> => {
      const [p99Ms, seen] = await Promise.all([
        probe(pair.ports[0], staying, work),
        write({ ports: pair.ports, at: to === 0 ? 1 : 0, keys: moving, perSecond, valueBytes }, work),
        work,
      ]);
      return { p99Ms, seen };
    };
    const idle = await during(sleep(IDLE_MS));
    const beganMs = performance.now();
    const move = pair.move(slots, to);
    const { p99Ms, seen } = await during(move);
    const seconds = (performance.now() - beganMs) / 1000;
    const row: Row = {
      server: name,
      writes: perSecond,
      written: seen.perSecond,
      idleWritten: idle.seen.perSecond,
      seconds: Number(seconds.toFixed(2)),
      keysPerSecond: Math.round(moving.length / seconds),
      redirected: seen.redirected,
      errors: seen.errors,
      p99Ms: Number(p99Ms.toFixed(2)),
      idleP99Ms: Number(idle.p99Ms.toFixed(2)),
    };
    rows.push(row);
    console.error(
      `${name}, ${perSecond} writes/s wanted, ${row.idleWritten} made before, ${row.written} meanwhile: ${moving.length} keys of ${slots} slots in ${row.seconds} s (${row.keysPerSecond} keys/s), ` +
        `${row.errors} errors, ${row.redirected} redirections; p99 of other slots ${row.idleP99Ms} ms before, ${row.p99Ms} ms meanwhile`,
    );
  }
}

for (const name of ["redis", "anax"] as const) await measure(name);
console.log(JSON.stringify({ mib, valueBytes, slots, keys: moving.length, rows }));
