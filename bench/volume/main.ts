// A mounted volume (SQLite metadata, a local directory) beside the file system that its data directory lies on, in one run: the same loads in turns, each in a process
// of its own. With --json the last line of standard output has the rows. A ratio above 1: better than the other.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { aVolumePlace, unmountable } from "../../test/kit/mounted-volume.ts";
import { must } from "../../test/kit/process.ts";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { median } from "../kit/process.ts";
import { LOAD_NAMES, type LoadName, type LoadRequest, type LoadResult } from "./loads.ts";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    mib: { type: "string", default: "512" },
    operations: { type: "string", default: "10000" },
    loads: { type: "string", default: LOAD_NAMES.join(",") },
    json: { type: "boolean", default: false },
  },
});

interface Row {
  readonly load: LoadName;
  readonly volume: number;
  readonly local: number;
  readonly ratio: number;
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
const place = scope.use(await aVolumePlace());
const volume = scope.use(await place.mount());
const local = scope.use(await temporaryDirectory());
const type = (await must("stat", ["-f", "-c", "%T", local.path])).trim();
console.error(
  `a volume beside ${type}; ${mib} MiB, ${operations} operations, medians of ${rounds} rounds; MiB/s for 1 MiB, else operations/s`,
);

const results = new Map<LoadName, { readonly volume: number[]; readonly local: number[] }>();
for (let round = 0; round < rounds; round++) {
  const dirs = { volume: join(volume.dir, `round-${round}`), local: join(local.path, `round-${round}`) };
  for (const dir of Object.values(dirs)) mkdirSync(dir);
  for (const load of LOAD_NAMES.filter((name) => flags.loads.split(",").includes(name))) {
    const found = results.get(load) ?? { volume: [], local: [] };
    results.set(load, found);
    for (const side of round % 2 === 0 ? (["volume", "local"] as const) : (["local", "volume"] as const))
      found[side].push(await perSecond({ load, dir: dirs[side], mib, operations }));
  }
  for (const dir of Object.values(dirs)) rmSync(dir, { recursive: true });
}

const rows = [...results].map(([load, { volume: ours, local: theirs }]): Row => {
  const [a, b] = [median(ours), median(theirs)];
  return { load, volume: Math.round(a), local: Math.round(b), ratio: Number((a / b).toFixed(3)) };
});
console.error(`${"".padEnd(20)}${"volume".padStart(12)}${type.padStart(12)}   ratio`);
for (const { load, volume: ours, local: theirs, ratio } of rows)
  console.error(`${load.padEnd(20)}${String(ours).padStart(12)}${String(theirs).padStart(12)}${ratio.toFixed(2).padStart(8)}`);
if (flags.json) console.log(JSON.stringify({ beside: type, mib, operations, rounds, rows }));

async function perSecond(request: LoadRequest): Promise<number> {
  const output = await must(process.execPath, ["--disable-warning=ExperimentalWarning", LOAD, JSON.stringify(request)]);
  return (JSON.parse(output) as LoadResult).perSecond;
}
