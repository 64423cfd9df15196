import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdtemp, open, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import cliProgress, { type SingleBar } from "cli-progress";
import Table from "cli-table3";
import { colorsOn } from "../src/cli/colors.ts";
import { formatBytes, formatDuration, parseBytes } from "../src/base/units.ts";
import { exitOf, spawnAnax, startAnax, type AnaxProcess } from "../test/kit/anax.ts";
import { fillGenerated } from "../test/kit/generated-content.ts";
import { startOrigin } from "../test/kit/origin.ts";

// The main job on this machine: one scheduler, one seed and several daemons as separate processes, and an HTTP origin.

const HELP = `npm run demo -- [options]
  --peers N       daemons that download (default 4)
  --size SIZE     of the generated file (default 256MiB)
  --file PATH     distribute this file instead
  --url URL       distribute what this URL gives instead
  --json          end with one line of JSON, and no bars
  --keep          leave the daemons' data and the copies where they are
`;

interface Copy {
  readonly name: string;
  readonly output: string;
  readonly seconds: number;
  readonly bytes: number;
  readonly bytesFromPeers: number;
  readonly bytesFromSource: number;
}

const { values: flags } = parseArgs({
  options: {
    peers: { type: "string", default: "4" },
    size: { type: "string", default: "256MiB" },
    file: { type: "string" },
    url: { type: "string" },
    json: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});

const COPIES_MAX = 1.02;
const pc = colorsOn(flags.json ? process.stderr : process.stdout);
const say = (text: string): void => void (flags.json ? process.stderr : process.stdout).write(`${text}\n`);

if (flags.help) {
  process.stdout.write(HELP);
} else {
  process.exitCode = await demo();
}

async function demo(): Promise<number> {
  const peers = Number(flags.peers);
  const size = parseBytes(flags.size);
  if (!Number.isInteger(peers) || peers < 1 || peers > 64 || size === undefined) {
    process.stderr.write(HELP);
    return 2;
  }
  await using scope = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "anax-demo-"));
  if (!flags.keep) scope.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  const content = await contentOf(dir, size, scope);
  say(`Distributing ${pc.bold(content.url)}${content.bytes === undefined ? "" : ` (${formatBytes(content.bytes)})`} to ${peers} daemons\n`);

  const { daemons, seed, statusAddress } = await startCluster(dir, peers, scope);
  const copies = await downloadAll(daemons, dir, content.url);
  const bytes = copies[0]!.bytes; // at least one peer
  say("\nVerifying every copy by sha256");
  const digests = await Promise.all(copies.map(({ output }) => sha256Of(output)));
  const expected = content.sha256 ?? digests[0]!; // at least one peer
  const verified = digests.filter((digest) => digest === expected).length;

  const originBytes = content.sentBytes?.() ?? (await readFromSource([seed, ...daemons]));
  const originCopies = bytes === 0 ? 0 : originBytes / bytes;
  const peerBytes = copies.reduce((sum, copy) => sum + copy.bytesFromPeers, 0);
  const seconds = copies.map((copy) => copy.seconds);
  const result = {
    peers,
    bytes,
    secondsFirst: Math.min(...seconds),
    secondsLast: Math.max(...seconds),
    originCopies: Number(originCopies.toFixed(3)),
    verified,
  };
  report(copies, digests, expected, { originBytes, originCopies, peerBytes, statusAddress });
  const good = verified === peers && originCopies <= COPIES_MAX;
  if (!good) say(pc.red(`Not as it must be: ${verified} of ${peers} copies are right, the origin gave ${originCopies.toFixed(3)} copies.`));
  if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  return good ? 0 : 1;
}

interface Content {
  readonly url: string;
  readonly bytes?: number;
  readonly sha256?: string;
  /** What left the origin, when it is ours. */
  readonly sentBytes?: () => number;
}

/** The URL given, or a real HTTP origin that serves the file given or a generated one. */
async function contentOf(dir: string, size: number, scope: AsyncDisposableStack): Promise<Content> {
  if (flags.url !== undefined) return { url: flags.url };
  const name = flags.file === undefined ? "generated.bin" : basename(flags.file);
  const path = join(dir, name);
  if (flags.file === undefined) await writeGenerated(path, size);
  else await copyFile(resolve(flags.file), path);
  const origin = scope.use(await startOrigin({ directory: dir }));
  const route = `/${encodeURIComponent(name)}`;
  const { size: bytes } = await stat(path);
  return { url: origin.url(route), bytes, sha256: await sha256Of(path), sentBytes: () => origin.totals().bytesSent };
}

async function startCluster(dir: string, peers: number, scope: AsyncDisposableStack) {
  const started = performance.now();
  const scheduler = scope.use(await startAnax("scheduler", { dataDir: join(dir, "scheduler") }));
  const start = async (name: string, args: readonly string[]): Promise<AnaxProcess> =>
    scope.use(
      await startAnax("daemon", {
        dataDir: join(dir, name),
        args: ["--scheduler", scheduler.listeners["scheduler"]!, "--hostname", name, ...args], // a scheduler prints its address
        set: { logLevel: "warn" },
      }),
    );
  const seed = await start("seed", ["--seed"]);
  const daemons: AnaxProcess[] = [];
  for (let i = 1; i <= peers; i++) daemons.push(await start(`daemon-${i}`, []));
  say(`Scheduler, seed and ${peers} daemons are up after ${formatDuration(performance.now() - started)}`);
  say(`Status while this runs: ${scheduler.listeners["status"] ?? ""}/ (metrics: /metrics)`);
  return { daemons, seed, statusAddress: scheduler.listeners["status"] ?? "" };
}

async function downloadAll(daemons: readonly AnaxProcess[], dir: string, url: string): Promise<readonly Copy[]> {
  const bars =
    process.stdout.isTTY && !flags.json
      ? new cliProgress.MultiBar(
          { hideCursor: true, clearOnComplete: false, format: " {name} [{bar}] {percentage}% | {done} | {from}" },
          cliProgress.Presets.shades_classic,
        )
      : undefined;
  try {
    return await Promise.all(
      daemons.map((daemon, i) => {
        const name = `daemon-${i + 1}`;
        return downloadOne(daemon, { name, output: join(dir, `${name}.out`), url, bar: bars?.create(1, 0, { name, done: "", from: "" }) });
      }),
    );
  } finally {
    bars?.stop();
  }
}

interface Order {
  readonly name: string;
  readonly output: string;
  readonly url: string;
  readonly bar: SingleBar | undefined;
}

/** One `anax get` in a process of its own, as a user would call it. */
async function downloadOne(daemon: AnaxProcess, order: Order): Promise<Copy> {
  const { name, output, url, bar } = order;
  const child = spawnAnax(["get", url, "-O", output, "-e", daemon.listeners["socket"]!.replace(/^unix:/, ""), "--json"]); // a daemon prints its socket
  let done: Copy | undefined;
  const errors: string[] = [];
  createInterface({ input: child.stderr! }).on("line", (line) => errors.push(line));
  createInterface({ input: child.stdout! }).on("line", (line) => {
    const message = JSON.parse(line) as {
      event: string;
      totalBytes?: number;
      doneBytes: number;
      fromPeersBytes: number;
      fromSourceBytes: number;
    };
    if (message.event === "done") done = { ...(message as unknown as Copy), name, output };
    else if (message.event === "progress") showProgress(name, bar, message);
  });
  const code = await exitOf(child);
  if (code !== 0 || done === undefined)
    throw new Error(`${name}: anax get ended with ${String(code)}: ${errors.join("; ")}\n${daemon.stderr()}`);
  bar?.setTotal(Math.max(1, done.bytes));
  bar?.update(Math.max(1, done.bytes), {
    name,
    done: formatBytes(done.bytes),
    from: `peers ${formatBytes(done.bytesFromPeers)}, source ${formatBytes(done.bytesFromSource)}`,
  });
  return done;
}

function showProgress(
  name: string,
  bar: SingleBar | undefined,
  state: { totalBytes?: number; doneBytes: number; fromPeersBytes: number; fromSourceBytes: number },
): void {
  const from = `peers ${formatBytes(state.fromPeersBytes)}, source ${formatBytes(state.fromSourceBytes)}`;
  if (bar === undefined) return say(`  ${name}: ${formatBytes(state.doneBytes)} of ${formatBytes(state.totalBytes ?? 0)} (${from})`);
  bar.setTotal(Math.max(1, state.totalBytes ?? 1));
  bar.update(state.doneBytes, { name, done: formatBytes(state.doneBytes), from });
}

/** What daemons say they read from the source; for origins that are not ours to count at. */
async function readFromSource(daemons: readonly AnaxProcess[]): Promise<number> {
  const pages = await Promise.all(daemons.map(async ({ listeners }) => (await fetch(`${listeners["status"]}/metrics`)).text()));
  const counts = pages.map((page) =>
    Number(/^anax_daemon_received_bytes_total\{[^}]*traffic="back-to-source"[^}]*\} (\S+)/m.exec(page)?.[1] ?? 0),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

function report(
  copies: readonly Copy[],
  digests: readonly string[],
  expected: string,
  totals: { readonly originBytes: number; readonly originCopies: number; readonly peerBytes: number; readonly statusAddress: string },
): void {
  const table = new Table({
    head: ["daemon", "seconds", "rate", "from peers", "from source", "sha256"].map(pc.bold),
    style: { head: [], border: [] },
  });
  for (const [i, copy] of copies.entries())
    table.push([
      copy.name,
      copy.seconds.toFixed(2),
      `${formatBytes(copy.bytes / copy.seconds)}/s`,
      formatBytes(copy.bytesFromPeers),
      formatBytes(copy.bytesFromSource),
      digests[i] === expected ? pc.green("right") : pc.red("WRONG"),
    ]);
  say(table.toString());
  say(`Left the origin   ${formatBytes(totals.originBytes)} = ${totals.originCopies.toFixed(2)}x the file`);
  say(`Between peers     ${formatBytes(totals.peerBytes)}`);
  say(`Status            ${totals.statusAddress}/ (metrics: /metrics)`);
}

async function writeGenerated(path: string, bytes: number): Promise<void> {
  const block = Buffer.alloc(4 * 1024 * 1024);
  await using file = await open(path, "w");
  for (let offset = 0; offset < bytes; offset += block.length) {
    const part = block.subarray(0, Math.min(block.length, bytes - offset));
    fillGenerated(1, offset, part);
    await file.write(part);
  }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
