// What is fixed about a download: `anax get` of one byte from start to exit, beside `node -e 0` and curl; and 1,000 files of 16 KiB in one
// recursive get, beside `cp -r` and curl. The daemon runs already, with a scheduler in the same process (`anax up`); its disk is a real one.
// A daemon runs for months, so the trees are measured when it has brought some already: --warm says how many of each kind, and what the very first of them
// took is told as well. Each tree goes to a place of its own, and all stay until the end: ext4 looks at every file that was just removed before it makes
// another, so that a file took up to 0.5 ms more after the trees of others had been removed. Flags: --runs 20 --files 1000 --rounds 3 --warm 2. Prints a table for people on standard error and one line of JSON.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { startAnax } from "../../test/kit/anax.ts";
import { builtProgram } from "../../test/kit/build.ts";
import { socketOf } from "../../test/kit/cli.ts";
import { freePort } from "../../test/kit/process.ts";
import { startNginx } from "../kit/nginx.ts";
import { median, startScript } from "../kit/process.ts";

const { values: flags } = parseArgs({
  options: {
    runs: { type: "string", default: "20" },
    files: { type: "string", default: "1000" },
    rounds: { type: "string", default: "3" },
    warm: { type: "string", default: "2" },
    // Below the home of temporary files, unless another disk is to be measured.
    directory: { type: "string", default: tmpdir() },
  },
});
const [runs, files, rounds, warm] = [Number(flags.runs), Number(flags.files), Number(flags.rounds), Number(flags.warm)];
const FILE_BYTES = 16 * 1024;

await using scope = new AsyncDisposableStack();
const directory = mkdtempSync(join(flags.directory, "anax-bench-"));
scope.defer(() => rmSync(directory, { recursive: true }));
const root = join(directory, "root");
const out = join(directory, "out");
for (const path of [join(root, "many"), out]) mkdirSync(path, { recursive: true });
writeFileSync(join(root, "one"), "x");
for (let place = 0; place < files; place++) writeFileSync(join(root, "many", `file-${place}`), randomBytes(FILE_BYTES));

const port = await freePort();
scope.use(await startNginx({ root, workDirectory: directory, port }));
const s3 = scope.use(await startScript(new URL("s3-server.ts", import.meta.url).pathname, [join(root, "many")]));
const { endpoint } = s3.ready as { readonly endpoint: string };
const set = { logLevel: "warn", "p2p.source.fileRoots": JSON.stringify([root]) };
const daemon = scope.use(await startAnax("up", { dataDir: join(directory, "data"), set }));
const socket = socketOf(daemon);

const url = `http://127.0.0.1:${port}/one`;
const anaxCommand = (args: readonly string[]): readonly string[] => [join(dirname(builtProgram()), "anax"), ...args]; // as in PATH
const get = (source: string, output: string, ...more: readonly string[]) =>
  anaxCommand(["get", "-e", socket, "-O", join(out, output), "--overwrite", "--no-progress", ...more, source]);
timed(get(url, "one")); // the first run compiles the program, and the daemon gets the content

const starts = inTurns(runs, {
  node: () => [process.execPath, "-e", "0"],
  curl: () => ["curl", "-s", "-f", "-o", join(out, "curl"), url],
  version: () => anaxCommand(["version"]),
  cached: () => get(url, "one"),
  uncached: (run) => get(`${url}?run=${run}`, "one"),
});
const ms = Object.fromEntries(Object.entries(starts).map(([name, all]) => [name, Number(median(all).toFixed(1))]));

const s3Flags = [
  "--storage-endpoint",
  endpoint,
  "--storage-region",
  "x",
  "--storage-access-key-id",
  "x",
  "--storage-access-key-secret",
  "x",
];
const list = join(directory, "curl-list");
writeFileSync(list, readdirSync(join(root, "many")).map(curlEntry).join("\n"));
const anaxTrees = (what: string) => ({
  anaxFile: (run: number) => get(`file://${root}/many/`, `${what}-file-${run}`, "--recursive", "--tag", `${what}-file-${run}`),
  anaxS3: (run: number) => get("s3://bucket/", `${what}-s3-${run}`, "--recursive", "--tag", `${what}-s3-${run}`, ...s3Flags),
});
const before = inTurns(warm, anaxTrees("warm"));
const trees = inTurns(rounds, {
  cp: (run) => ["cp", "-r", join(root, "many"), join(out, `cp-${run}`)],
  curl: (run) => ["curl", "-s", "-f", "--parallel", "--create-dirs", "--output-dir", join(out, `curl-${run}`), "-K", list],
  ...anaxTrees("measured"),
});
const perSecond = (tookMs: number): number => Math.round((files / tookMs) * 1000);
const filesPerSecond = Object.fromEntries(Object.entries(trees).map(([name, all]) => [name, perSecond(median(all))]));
const firstFilesPerSecond = Object.fromEntries(
  Object.entries(before).flatMap(([name, [first]]) => (first === undefined ? [] : [[name, perSecond(first)]])),
);

const ratios = {
  /** Of a start: how much longer than Node alone, and than curl. */
  cachedToNode: ratio(ms["cached"], ms["node"]),
  uncachedToNode: ratio(ms["uncached"], ms["node"]),
  cachedToCurl: ratio(ms["cached"], ms["curl"]),
  uncachedToCurl: ratio(ms["uncached"], ms["curl"]),
  /** Of a tree: files per second against others. */
  treeToCp: ratio(filesPerSecond["anaxFile"], filesPerSecond["cp"]),
  treeToCurl: ratio(filesPerSecond["anaxFile"], filesPerSecond["curl"]),
  s3TreeToCurl: ratio(filesPerSecond["anaxS3"], filesPerSecond["curl"]),
};
for (const [name, value] of Object.entries(ms)) console.error(`${name.padEnd(10)} ${value.toFixed(1)} ms`);
console.error(`${warm} trees of ${files} files of each kind were brought before those that are measured`);
for (const [name, value] of Object.entries(filesPerSecond)) {
  const first = firstFilesPerSecond[name];
  console.error(`${name.padEnd(10)} ${value} files/s${first === undefined ? "" : `, the first of a new daemon ${first}`}`);
}
console.error(JSON.stringify(ratios));
console.log(
  JSON.stringify({
    bench: "cli/get",
    runs,
    files,
    fileBytes: FILE_BYTES,
    warm,
    ms,
    filesPerSecond,
    firstFilesPerSecond,
    ratios,
    starts,
    trees,
  }),
);

/** Milliseconds of each run of each command, a busy neighbour hitting all of them alike. */
function inTurns(count: number, commands: Readonly<Record<string, (run: number) => readonly string[]>>): Record<string, number[]> {
  const taken: Record<string, number[]> = Object.fromEntries(Object.keys(commands).map((name) => [name, []]));
  for (let run = 0; run < count; run++) {
    for (const [name, command] of Object.entries(commands)) taken[name]!.push(timed(command(run))); // made above
  }
  return taken;
}

function curlEntry(name: string): string {
  return `url = "http://127.0.0.1:${port}/many/${name}"\noutput = "${name}"`;
}

function timed([command = "", ...args]: readonly string[]): number {
  const startedMs = performance.now();
  const done = spawnSync(command, args, { encoding: "utf8" });
  const tookMs = performance.now() - startedMs;
  if (done.status !== 0) throw new Error(`${command} ended with ${done.status}: ${done.stderr}`);
  return tookMs;
}

function ratio(a: number | undefined, b: number | undefined): number {
  return Number(((a ?? NaN) / (b ?? NaN)).toFixed(2));
}
