import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { silentLog } from "../../src/base/log.ts";
import { realClock } from "../../src/base/clock.ts";
import { createRandom } from "../../src/base/random.ts";
import { aContent, never, storeAll } from "../../src/p2p/pieces/piece-store.conformance.ts";
import { PiecesConfig } from "../../src/p2p/pieces/config.ts";
import { openPieceStore } from "../../src/p2p/pieces/store.ts";
import { runAnax, spawnAnax, type AnaxProcess } from "../kit/anax.ts";
import { jsonLines, socketOf } from "../kit/cli.ts";
import { waitFor } from "../kit/process.ts";
import type { Incident } from "./incident.ts";
import { aMemoryGroup } from "./memory-group.ts";
import { aDaemon, anax, aScene, demand, fetched, MIB, slay, urlOf, type Scene } from "./scene.ts";

const FILE = { bytes: 64 * MIB, seed: 11 };
const READY_SECONDS = 2;

/** What had not been recorded when the process died: one interval of commits at this rate, and the pieces that were under way. */
const lostBytesMax = (bytesPerSecond: number, files: number): number => bytesPerSecond * 0.5 + files * 4 * MIB;

export const RESTARTS: readonly Incident[] = [
  {
    name: "killed-in-a-download",
    fault: "SIGKILL in the middle of a download; its get goes on",
    async run(scope) {
      const { scene, first, killed } = await inTheMiddle(scope);
      const getting = fetched(scene, first, "/file");
      getting.catch(() => undefined); // it is awaited below
      const { again, sinceMs, originBytes } = await killed();
      demand(again.readyMs < READY_SECONDS * 1000, `ready after ${again.readyMs} ms`);
      await getting;
      return recovered(again, sinceMs, originBytes());
    },
  },
  {
    name: "nobody-asks-again",
    fault: "SIGKILL to a daemon in the middle of a download, and to its get",
    async run(scope) {
      const { scene, first, killed } = await inTheMiddle(scope);
      const child = abandon(first, scene, "/file");
      const { again, sinceMs, originBytes } = await killed(() => child.kill("SIGKILL"));
      await waitFor(async () => jsonLines((await anax(again, ["ls", "--json"])).stdout)[0]?.["state"] === "finished");
      const outcome = recovered(again, sinceMs, originBytes());
      const { stdout } = await anax(again, ["explain", urlOf(scene, "/file")]);
      demand(stdout.includes("download.resumed"), `explain does not tell of it: ${stdout}`);
      await fetched(scene, again, "/file", ["--disable-back-to-source"]);
      return outcome;
    },
  },
  {
    name: "kills-its-daemon",
    fault: "a download whose daemon gets SIGKILL each time before it brings a piece",
    async run(scope) {
      const scene = await aScene(scope, { "/file": FILE });
      scene.origin.setFault("/file", { stallAfterBytes: 100 });
      const first = await aDaemon(scope, scene, "a");
      const child = abandon(first, scene, "/file");
      await waitFor(() => isRemembered(first));
      child.kill("SIGKILL");
      await slay(first);
      for (let start = 0; start < STARTS_MAX; start++) {
        const gets = scene.origin.totals().gets;
        const again = await aDaemon(scope, scene, "a");
        await scene.origin.until(() => scene.origin.totals().gets > gets);
        await slay(again);
      }
      const last = await aDaemon(scope, scene, "a");
      await waitFor(async () => !(await isRemembered(last)));
      demand(last.stderr().includes("download.not-resumed"), "nothing is said of it");
      return { note: `given up after ${STARTS_MAX} starts` };
    },
  },
  {
    name: "second-daemon",
    fault: "a second daemon beside a live one: same directory, same socket",
    async run(scope) {
      const scene = await aScene(scope, { "/file": FILE });
      const live = await aDaemon(scope, scene, "a");
      const beside = [
        ["--data-dir", live.dataDir],
        ["--data-dir", join(scene.dir, "other"), "--set", `p2p.daemon.socketPath=${socketOf(live)}`],
      ];
      for (const where of beside) {
        const ports = ["p2p.daemon.uploadPort", "p2p.daemon.transferPort", "p2p.proxy.port", "status.port"];
        const ran = await runAnax(["daemon", ...where, "--log-level", "error", ...ports.flatMap((port) => ["--set", `${port}=0`])], {
          timeoutMs: 30_000,
        });
        demand(ran.code === 8 && ran.stderr.includes(`pid=${live.pid}`), `ended with ${ran.code}: ${ran.stderr.trim()}`);
        await fetched(scene, live, "/file");
      }
      return { note: "refused with the other's pid; the live one went on" };
    },
  },
  {
    name: "out-of-memory",
    fault: "the kernel's OOM killer, in a memory cgroup",
    async run(scope) {
      const scene = await aScene(scope, { "/file": FILE });
      const group = await aMemoryGroup(scope);
      const first = await aDaemon(scope, scene, "a");
      scene.origin.setFault("/file", { bytesPerSecond: 32 * MIB });
      abandon(first, scene, "/file");
      await scene.origin.until(() => scene.origin.totals().bytesSent >= FILE.bytes / 4);
      await writeFile(join(group, "cgroup.procs"), String(first.pid));
      await writeFile(join(group, "memory.limit_in_bytes"), String(8 * MIB));
      await eatIn(group, first);
      const before = scene.origin.totals().bytesSent;
      const again = await aDaemon(scope, scene, "a");
      await saysThatItWasKilledForMemory(again);
      const seconds = await fetched(scene, again, "/file");
      const originBytes = scene.origin.totals().bytesSent - before;
      return {
        recoverSeconds: again.readyMs / 1000 + seconds,
        originBytes,
        note: `ready in ${Math.round(again.readyMs)} ms; log and doctor say why`,
      };
    },
  },
  {
    name: "many-tasks",
    fault: "SIGKILL to a daemon with 10,000 tasks",
    async run(scope) {
      const scene = await aScene(scope, { "/file": FILE });
      await storeMany(join(scene.dir, "a", "pieces"), 10_000);
      const first = await aDaemon(scope, scene, "a");
      await slay(first);
      const again = await aDaemon(scope, scene, "a");
      const { stdout } = await anax(again, ["ls", "--json"]);
      demand(stdout.split("\n").length > 10_000, "tasks are missing");
      demand(again.readyMs < READY_SECONDS * 1000, `ready after ${again.readyMs} ms`);
      return { recoverSeconds: again.readyMs / 1000 };
    },
  },
  {
    name: "killed-at-random",
    fault: "SIGKILL at 200 random points of three downloads (ANAX_KILLS)",
    async run(scope) {
      const content = Object.fromEntries([1, 2, 3].map((seed) => [`/${seed}`, { bytes: 48 * MIB, seed }]));
      const scene = await aScene(scope, content);
      const paths = Object.keys(content);
      const kills = Number(process.env["ANAX_KILLS"] ?? 200);
      const seed = Number(process.env["ANAX_SEED"] ?? Date.now() % 1e6);
      const random = createRandom(seed);
      // So slow that what is to be downloaded lasts for all of the kills.
      const bytesPerSecond = Math.ceil((3 * 48 * MIB) / (kills * 0.35)) + 64 * 1024;
      for (const path of paths) scene.origin.setFault(path, { bytesPerSecond: Math.ceil(bytesPerSecond / paths.length) });
      let slowestMs = 0;
      for (let kill = 0; kill < kills; kill++) {
        const daemon = await aDaemon(scope, scene, "a");
        slowestMs = Math.max(slowestMs, daemon.readyMs);
        for (const path of paths) abandon(daemon, scene, path);
        await sleep(random.below(700));
        await slay(daemon);
      }
      for (const path of paths) scene.origin.setFault(path, undefined);
      const last = await aDaemon(scope, scene, "a");
      for (const path of paths) await fetched(scene, last, path);
      const twice = scene.origin.totals().bytesSent - 3 * 48 * MIB;
      const most = kills * lostBytesMax(bytesPerSecond, 0) + kills * paths.length * PIECE_BYTES;
      demand(twice <= most, `${twice} bytes were fetched twice, ${most} at most could have been lost (seed ${seed})`);
      demand(slowestMs < READY_SECONDS * 1000, `once ready after ${slowestMs} ms`);
      return {
        recoverSeconds: slowestMs / 1000,
        originBytes: twice,
        note: `slowest start; ${kib(twice / kills)} KiB twice per kill; seed ${seed}`,
      };
    },
  },
];

/** Twice the piece of our own rule, for files of this size; one that is cut off is fetched again. */
const PIECE_BYTES = 512 * 1024;
const kib = (bytes: number): number => Math.round(bytes / 1024);

/** A setting's default: `p2p.daemon.resumeStartsMax`. */
const STARTS_MAX = 3;

const isRemembered = async ({ dataDir }: AnaxProcess): Promise<boolean> =>
  (await readFile(join(dataDir, "running-downloads.json"), "utf8").catch(() => "")).includes('"url"');

/** What the system holds of each further one is lost as well, megabytes on loopback. */
const ONE_CONNECTION = { set: { "p2p.daemon.sourceConnectionsMax": 1 } };

/** A daemon, and what kills it when half of the file has left the origin, and starts another in its place. */
async function inTheMiddle(scope: AsyncDisposableStack) {
  const scene = await aScene(scope, { "/file": FILE });
  const bytesPerSecond = 32 * MIB;
  scene.origin.setFault("/file", { bytesPerSecond });
  const first = await aDaemon(scope, scene, "a", ONE_CONNECTION);
  const killed = async (also: () => void = () => undefined) => {
    await scene.origin.until(() => scene.origin.totals().bytesSent >= FILE.bytes / 2);
    const sinceMs = performance.now();
    await slay(first);
    also();
    const before = scene.origin.totals().bytesSent;
    const again = await aDaemon(scope, scene, "a", ONE_CONNECTION);
    const originBytes = (): number => {
      const sent = scene.origin.totals().bytesSent;
      demand(sent - FILE.bytes <= lostBytesMax(bytesPerSecond, 1), `${sent - FILE.bytes} bytes were fetched twice`);
      return sent - before;
    };
    return { again, sinceMs, originBytes };
  };
  return { scene, first, killed };
}

function recovered(again: AnaxProcess, sinceMs: number, originBytes: number) {
  const lost = kib(originBytes - FILE.bytes / 2);
  return {
    recoverSeconds: (performance.now() - sinceMs) / 1000,
    originBytes,
    note: `ready in ${Math.round(again.readyMs)} ms, ${lost} KiB twice`,
  };
}

/** A download that nobody waits for: its daemon is about to die. */
function abandon(daemon: AnaxProcess, scene: Scene, path: string): ChildProcess {
  const child = spawnAnax([
    "get",
    urlOf(scene, path),
    "-O",
    join(scene.dir, `abandoned-${daemon.pid}${path.replace("/", "-")}`),
    "-e",
    socketOf(daemon),
    "--reconnect-timeout",
    "0s",
  ]);
  child.stdout!.resume();
  child.stderr!.resume();
  return child;
}

/** Something else in the same container takes all of its memory, until the kernel kills the daemon for it. */
async function eatIn(group: string, victim: AnaxProcess): Promise<void> {
  const eater = spawn("sh", ["-c", `echo $$ > ${group}/cgroup.procs; tail /dev/zero`], { stdio: "ignore" });
  await Promise.race([victim.exited, sleep(30_000)]);
  eater.kill("SIGKILL");
  demand((await Promise.race([victim.exited, sleep(1000)])) === "SIGKILL", "the kernel did not kill it");
}

/** The log of the run after it, and the doctor. */
async function saysThatItWasKilledForMemory(again: AnaxProcess): Promise<void> {
  const warned = jsonLines(again.stderr()).find(({ event }) => event === "node.last-run");
  demand(warned?.["ended"] === "out-of-memory", `the log says of the last run: ${JSON.stringify(warned)}`);
  const { stdout } = await runAnax(["doctor", "--json", "--data-dir", again.dataDir]);
  const found = jsonLines(stdout).find(({ check }) => check === "last run");
  demand(String(found?.["found"]).startsWith("ended out-of-memory"), `the doctor says: ${JSON.stringify(found)}`);
}

/** Small finished tasks, as downloads leave them. */
async function storeMany(dir: string, count: number): Promise<void> {
  await mkdir(dir, { recursive: true });
  await using store = await openPieceStore({
    dir,
    config: PiecesConfig.parse({ syncOnFinish: false }),
    clock: realClock,
    log: silentLog,
    lockOwner: false,
  });
  for (let from = 0; from < count; from += 100) {
    const batch = Array.from({ length: 100 }, async (_, i) => {
      const content = aContent({ seed: from + i, bytes: 64 });
      const task = await store.open(content.meta);
      await storeAll(task, content);
      await task.finish(never());
    });
    await Promise.all(batch);
  }
}
