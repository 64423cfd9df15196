// A mounted volume (SQLite metadata, a local directory) beside the file system that its data directory lies on, and beside those of other programs that speak FUSE as
// well, in one run: the same loads in turns, each in a process of its own. With --json the last line of standard output has the rows. A ratio above 1: better than the other.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { unmountable } from "../../test/kit/mounted-volume.ts";
import { must } from "../../test/kit/process.ts";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { median } from "../kit/process.ts";
import { startFileSystems } from "./file-systems.ts";
import { LOAD_NAMES, type LoadName, type LoadRequest, type LoadResult } from "./loads.ts";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    mib: { type: "string", default: "512" },
    operations: { type: "string", default: "10000" },
    loads: { type: "string", default: LOAD_NAMES.join(",") },
    "no-others": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

interface Row {
  readonly load: LoadName;
  readonly volume: number;
  readonly local: number;
  /** To the local file system. */
  readonly ratio: number;
  /** By program. */
  readonly others: Readonly<Record<string, number>>;
}

const LOAD = fileURLToPath(new URL("load-process.ts", import.meta.url));
const [rounds, mib, operations] = [flags.rounds, flags.mib, flags.operations].map(Number) as [number, number, number];

const reason = unmountable();
if (reason !== undefined) {
  console.error(reason);
  process.exit(1);
}
await using scope = new AsyncDisposableStack();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void scope.disposeAsync().finally(() => process.exit(1))); // no mount stays behind
const { path } = scope.use(await temporaryDirectory());
const systems = await startFileSystems(scope, path, !flags["no-others"]);
const names = systems.map(({ name }) => name);
console.error(
  `a volume beside ${names.slice(1).join(", ")}; ${mib} MiB, ${operations} operations (${systems.map(({ name, part }) => `${name} ${part * operations}`).join(", ")}), ` +
    `medians of ${rounds} rounds; MiB/s for 1 MiB, else operations/s`,
);

const results = new Map<LoadName, Map<string, number[]>>();
for (let round = 0; round < rounds; round++) {
  const dirOf = (dir: string): string => join(dir, `round-${round}`);
  for (const { dir } of systems) mkdirSync(dirOf(dir));
  for (const load of LOAD_NAMES.filter((name) => flags.loads.split(",").includes(name))) {
    const found = results.get(load) ?? new Map(names.map((name) => [name, []]));
    results.set(load, found);
    for (const { name, dir, part } of round % 2 === 0 ? systems : systems.toReversed())
      found.get(name)?.push(await perSecond({ load, dir: dirOf(dir), mib, operations: Math.ceil(operations * part) }));
  }
  for (const { dir } of systems) rmSync(dirOf(dir), { recursive: true });
}

const rows = [...results].map(([load, found]): Row => {
  const [volume = 0, local = 0, ...others] = names.map((name) => median(found.get(name) ?? []));
  const byName = others.map((rate, index) => [names[index + 2], Math.round(rate)] as const);
  return {
    load,
    volume: Math.round(volume),
    local: Math.round(local),
    ratio: Number((volume / local).toFixed(3)),
    others: Object.fromEntries(byName),
  };
});
const line = (cells: readonly (string | number)[]): string => cells.map((cell) => String(cell).padStart(12)).join("");
console.error(`${"".padEnd(20)}${line(names)}`);
for (const { load, volume, local, others } of rows) console.error(`${load.padEnd(20)}${line([volume, local, ...Object.values(others)])}`);
if (flags.json) console.log(JSON.stringify({ beside: names[1], mib, operations, rounds, rows }));

async function perSecond(request: LoadRequest): Promise<number> {
  const output = await must(process.execPath, ["--disable-warning=ExperimentalWarning", LOAD, JSON.stringify(request)]);
  return (JSON.parse(output) as LoadResult).perSecond;
}
