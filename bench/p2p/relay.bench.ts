// What it costs to pass content on: a daemon in the middle of a chain receives it from its parent, verifies it, stores it and sends it to its
// child, all at once; beside it nginx, which fetches from an upstream, stores in its cache and sends to a client, cold each time. In turns.
// CPU seconds are those of the one in the middle alone, all its threads and processes, user and system.
// Flags: --size 256MiB --rounds 5 --profile DIRECTORY (writes a CPU profile of each thread of the relay there, for one more run of it).
// Prints a table for people on standard error and one line of JSON.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { parseBytes } from "../../src/base/units.ts";
import { startAnax, type AnaxProcess } from "../../test/kit/anax.ts";
import { freePort } from "../../test/kit/process.ts";
import { startCachingNginx } from "../kit/caching-nginx.ts";
import { channelTo, counterOf, download, remove } from "../kit/daemon-calls.ts";
import { startNginx } from "../kit/nginx.ts";
import { cpuSecondsOf, median, runScript } from "../kit/process.ts";
import { writeRandomFile } from "../kit/random-file.ts";
import { touchMemory } from "../kit/touch-memory.ts";
import type { WholeResult } from "../kit/read-whole.ts";

const { values: flags } = parseArgs({
  options: { size: { type: "string", default: "256MiB" }, rounds: { type: "string", default: "5" }, profile: { type: "string" } },
});
const fileBytes = parseBytes(flags.size) ?? 0;
if (fileBytes === 0) throw new Error("--size is a size such as 256MiB");
const GIB = 1024 ** 3;
/** Of the content, that come into memory during a run, those of relay and child, and room for what lies in between. */
const COPIES = 2.5;
const READER = new URL("../kit/read-whole.ts", import.meta.url).pathname;
const UNREACHABLE = new URL("../kit/unreachable.ts", import.meta.url).href;

interface Run {
  readonly megabytesPerSecond: number;
  readonly cpuSecondsPerGiB: number;
}

interface Contender {
  readonly name: string;
  /** Passes the content on, under a name that it has not seen. */
  readonly run: (name: string) => Promise<Run>;
}

await using scope = new AsyncDisposableStack();
const directory = mkdtempSync(join(tmpdir(), "anax-bench-"));
scope.defer(() => rmSync(directory, { recursive: true }));
const file = join(directory, "content");
const sha256 = await writeRandomFile(file, fileBytes);
const originPort = await freePort();
scope.use(await startNginx({ root: directory, workDirectory: directory, port: originPort }));

const chain = await startChain("chain", {});
const contenders: readonly Contender[] = [
  await nginx(),
  { name: "anax", run: (name) => relayThrough(chain, `${name}-plain`, undefined) },
  { name: "anax, whole content verified by sha256", run: (name) => relayThrough(chain, `${name}-digest`, `sha256:${sha256}`) },
];
const rounds = await inTurns(contenders, Number(flags.rounds));
if (flags.profile !== undefined) await profile(resolve(flags.profile));

const verdicts = Object.fromEntries(contenders.map(({ name }, place) => [name, verdictOf(rounds, place)]));
for (const [name, verdict] of Object.entries(verdicts)) {
  console.error(
    `${name.padEnd(40)} ${verdict.megabytesPerSecond.toFixed(0)} MB/s, ${verdict.cpuSecondsPerGiB.toFixed(3)} CPU s/GiB;` +
      ` of nginx: throughput ${verdict.ratioThroughput.toFixed(2)}, CPU seconds ${verdict.ratioCpuSeconds.toFixed(2)}`,
  );
}
const { ratioThroughput, ratioCpuSeconds } = verdicts["anax"]!; // a contender of that name ran
console.log(JSON.stringify({ bench: "p2p/relay", fileBytes, ratioThroughput, ratioCpuSeconds, verdicts, runs: rounds }));

/** After one round that only warms up. */
async function inTurns(all: readonly Contender[], count: number): Promise<readonly Run[][]> {
  const runs: Run[][] = [];
  for (let round = 0; round <= count; round++) {
    const results = new Map<string, Run>();
    for (const { name, run } of round % 2 === 0 ? all : all.toReversed()) results.set(name, await run(`round-${round}`));
    if (round > 0) runs.push(all.map(({ name }) => results.get(name)!)); // each of them ran
  }
  return runs;
}

/** Medians; ratios are taken within a round, so that a busy neighbour hits both sides. */
function verdictOf(runs: readonly Run[][], place: number) {
  const pairs = runs.map((round) => [round[0]!, round[place]!] as const); // every round has all contenders
  return {
    megabytesPerSecond: median(pairs.map(([, run]) => run.megabytesPerSecond)),
    cpuSecondsPerGiB: median(pairs.map(([, run]) => run.cpuSecondsPerGiB)),
    ratioThroughput: median(pairs.map(([first, run]) => run.megabytesPerSecond / first.megabytesPerSecond)),
    ratioCpuSeconds: median(pairs.map(([first, run]) => run.cpuSecondsPerGiB / first.cpuSecondsPerGiB)),
  };
}

async function measured(pid: number, work: () => Promise<number>): Promise<Run> {
  touchMemory(COPIES * fileBytes);
  const before = cpuSecondsOf(pid);
  const seconds = await work();
  return { megabytesPerSecond: fileBytes / 1e6 / seconds, cpuSecondsPerGiB: ((cpuSecondsOf(pid) - before) * GIB) / fileBytes };
}

async function nginx(): Promise<Contender> {
  const port = await freePort();
  const workDirectory = join(directory, "nginx");
  const { pid } = scope.use(await startCachingNginx({ workDirectory, port, upstreamPort: originPort }));
  return {
    name: "nginx",
    async run(name) {
      const run = await measured(pid, async () => ((await runScript(READER, [String(port), `/content?${name}`])) as WholeResult).seconds);
      const kept = readdirSync(join(workDirectory, "cache"));
      if (kept.length !== 1) throw new Error(`nginx keeps ${kept.length} files instead of the one that it passed on`);
      for (const each of kept) rmSync(join(workDirectory, "cache", each));
      return run;
    },
  };
}

interface Chain extends AsyncDisposable {
  readonly seed: AnaxProcess;
  readonly relay: AnaxProcess;
  readonly child: AnaxProcess;
}

/** A seed, a relay and a child under one scheduler; seed and child cannot reach each other. */
async function startChain(place: string, relayEnv: Readonly<Record<string, string>>): Promise<Chain> {
  const owned = scope.use(new AsyncDisposableStack());
  const scheduler = owned.use(await startAnax("scheduler", { dataDir: join(directory, place, "scheduler") }));
  const [seedPorts, childPorts] = [await portPair(), await portPair()];
  const start = async (name: string, ports: readonly number[], env: Readonly<Record<string, string>>, args: readonly string[] = []) =>
    owned.use(
      await startAnax("daemon", {
        dataDir: join(directory, place, name),
        args: ["--scheduler", scheduler.listeners["scheduler"]!, "--hostname", `${place}-${name}`, ...args], // a scheduler prints its address
        set: { logLevel: "warn", "p2p.proxy.enabled": false, "p2p.daemon.uploadPort": ports[0]!, "p2p.daemon.transferPort": ports[1]! }, // two each
        env,
      }),
    );
  return {
    seed: await start("seed", seedPorts, unreachable(childPorts), ["--seed"]),
    relay: await start("relay", [0, 0], relayEnv),
    child: await start("child", childPorts, unreachable(seedPorts)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function unreachable(ports: readonly number[]): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import ${UNREACHABLE}`, BENCH_UNREACHABLE: ports.join(",") };
}

async function portPair(): Promise<readonly number[]> {
  return [await freePort(), await freePort()];
}

/** The seed has it; relay and child ask for it, the child as soon as the relay has begun. */
async function relayThrough({ seed, relay, child }: Chain, name: string, digest: string | undefined): Promise<Run> {
  const [toSeed, toRelay, toChild] = [seed, relay, child].map(channelTo);
  const what = { url: `http://127.0.0.1:${originPort}/content?${name}`, digest };
  const taskId = await download(toSeed!, what);
  const run = await measured(relay.pid, async () => {
    const startedMs = performance.now();
    const begun = Promise.withResolvers<void>();
    const relayed = download(toRelay!, what, begun.resolve);
    await begun.promise;
    await Promise.all([relayed, download(toChild!, what)]);
    return (performance.now() - startedMs) / 1000;
  });
  for (const daemon of [relay, child]) {
    const fromSource = await counterOf(daemon, "anax_daemon_received_bytes_total", 'traffic="back-to-source"');
    if (fromSource > 0) throw new Error(`${fromSource} bytes came from the origin instead of the chain`);
  }
  for (const channel of [toChild!, toRelay!, toSeed!]) {
    await remove(channel, taskId);
    channel[Symbol.dispose]();
  }
  return run;
}

/** A run of its own, since looking costs time. The profiles are complete when the relay has ended. */
async function profile(into: string): Promise<void> {
  const profiled = await startChain("profiled", { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${into}` });
  await relayThrough(profiled, "profile-warm", undefined);
  await relayThrough(profiled, "profile", undefined);
  await profiled[Symbol.asyncDispose]();
  console.error(`CPU profiles of the relay are in ${into}`);
}
