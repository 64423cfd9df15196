import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createRandom } from "../../src/base/random.ts";
import { spawnAnax, type AnaxProcess } from "../kit/anax.ts";
import { socketOf } from "../kit/cli.ts";
import type { Incident } from "./incident.ts";
import { aDaemon, aScene, aScheduler, demand, fetched, MIB, slay, urlOf, type Scene } from "./scene.ts";

const FILE = { bytes: 48 * MIB, seed: 23 };
const SECONDS_PER_KILL = 0.35;

export const UPLOADS: readonly Incident[] = [
  {
    name: "killed-in-uploads-at-random",
    fault: "SIGKILL at 200 random points (ANAX_KILLS) to A, which uploads, or B, which downloads from it",
    async run(scope) {
      const scene = await aScene(scope, { "/file": FILE });
      const kills = Number(process.env["ANAX_KILLS"] ?? 200);
      const seed = Number(process.env["ANAX_SEED"] ?? Date.now() % 1e6);
      const random = createRandom(seed);
      const schedulers = [(await aScheduler(scope, scene)).address];
      // So slow that the content lasts for about all of the kills; the origin gives next to nothing.
      const bytesPerSecond = Math.ceil(FILE.bytes / (kills * SECONDS_PER_KILL));
      const set = { "p2p.rates.uploadBytesPerSecond": `${Math.ceil(bytesPerSecond / 1024)}KiB/s` };
      let slowestMs = 0;
      const start = async (name: "a" | "b"): Promise<AnaxProcess> => {
        const daemon = await aDaemon(scope, scene, name, { schedulers, ...(name === "a" ? { set } : {}) });
        slowestMs = Math.max(slowestMs, daemon.readyMs);
        return daemon;
      };
      const running = { a: await start("a"), b: await start("b") };
      await fetched(scene, running.a, "/file");
      scene.origin.setFault("/file", { bytesPerSecond: 1024 });
      let uploading = 0;
      let asking: ChildProcess | undefined;
      for (let kill = 0; kill < kills; kill++) {
        if (asking === undefined || asking.exitCode !== null) asking = askFor(scene, running.b);
        await sleep(random.below(SECONDS_PER_KILL * 2000));
        uploading += (await uploadedBy(running.a)) > 0 ? 1 : 0;
        const victim = random.next() < 0.5 ? "a" : "b";
        await slay(running[victim]);
        running[victim] = await start(victim);
      }
      await slay(running.a);
      running.a = await aDaemon(scope, scene, "a", { schedulers });
      const before = scene.origin.totals().bytesSent;
      const kept = await fetched(scene, running.a, "/file", ["--disable-back-to-source"]);
      const seconds = await fetched(scene, running.b, "/file");
      const originBytes = scene.origin.totals().bytesSent - before;
      demand(uploading > kills / 10, `only ${uploading} of ${kills} kills met an upload (seed ${seed})`);
      return {
        recoverSeconds: seconds,
        originBytes,
        note: `A still has all of it (${kept.toFixed(1)} s), ${uploading} kills met an upload, slowest start ${Math.round(slowestMs)} ms; seed ${seed}`,
      };
    },
  },
];

/** B goes on with what it has of it; nobody waits for that. */
function askFor(scene: Scene, daemon: AnaxProcess): ChildProcess {
  const output = join(scene.dir, `asked-${daemon.pid}`);
  const child = spawnAnax(["get", urlOf(scene, "/file"), "-O", output, "--overwrite", "-e", socketOf(daemon)]);
  child.stdout!.resume();
  child.stderr!.resume();
  return child;
}

/** What A has sent to peers since it started, in bytes. */
async function uploadedBy(daemon: AnaxProcess): Promise<number> {
  const text = await (await fetch(`${daemon.listeners["status"]}/metrics`)).text();
  return Number(/^anax_mesh_sent_bytes_total (\d+)$/m.exec(text)?.[1] ?? 0);
}
