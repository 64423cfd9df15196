import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { jsonLines } from "../kit/cli.ts";
import type { Incident } from "./incident.ts";
import { storeAgainstModel } from "./store-model.ts";
import { aDaemon, anax, aScene, demand, fetched, MIB, urlOf, type Scene } from "./scene.ts";

const QUOTA = 50 * MIB;
/** Stores at a time; each has threads of its own. */
const AT_ONCE = 8;
const QUOTA_SET = { "p2p.pieces.quotaBytes": String(QUOTA) };
const LAYERS = Object.fromEntries(["/base", "/app"].map((path, i) => [path, { bytes: 12 * MIB, seed: 20 + i }]));
const OTHERS = Object.fromEntries([1, 2, 3, 4, 5, 6].map((i) => [`/other-${i}`, { bytes: 12 * MIB, seed: 30 + i }]));

export const COLLECTION: readonly Incident[] = [
  {
    name: "random-operations",
    fault: "40 random operations, accidents and failures of the disk with each of 1,000 seeds (ANAX_SEEDS)",
    limitMs: 3_600_000,
    async run() {
      const count = Number(process.env["ANAX_SEEDS"] ?? 1000);
      const first = Number(process.env["ANAX_SEED"] ?? Date.now() % 1e6);
      for (let from = first; from < first + count; from += AT_ONCE)
        await Promise.all(Array.from({ length: Math.min(AT_ONCE, first + count - from) }, (_, i) => storeAgainstModel(from + i)));
      return {
        note: `seeds ${first} to ${first + count - 1}; nothing in use was lost, nor the quota exceeded, nor wrong bytes passed for right`,
      };
    },
  },
  {
    name: "linked-and-pinned-stay",
    fault: "50 MiB quota, one layer linked, one pinned; pulls beyond it",
    async run(scope) {
      const scene = await aScene(scope, { ...LAYERS, ...OTHERS });
      const a = await aDaemon(scope, scene, "a", { set: QUOTA_SET });
      for (const path of Object.keys(LAYERS)) await fetched(scene, a, path);
      await mkdir(join(scene.dir, "container"));
      await linked(scene, a, "/base", join(scene.dir, "container", "base"));
      demand((await anax(a, ["pin", urlOf(scene, "/app")])).code === 0, "it cannot be pinned");
      for (const path of Object.keys(OTHERS)) await fetched(scene, a, path);
      const before = scene.origin.totals().bytesSent;
      for (const path of Object.keys(LAYERS)) await fetched(scene, a, path);
      const originBytes = scene.origin.totals().bytesSent - before;
      demand(originBytes === 0, `layers in use were collected: the origin sent ${originBytes} bytes again`);
      const kept = jsonLines((await anax(a, ["gc", "--dry-run", "--json"])).stdout).filter(({ verdict }) => verdict === "in-use");
      demand(kept.length === 2, `gc says that ${kept.length} are in use`);
      return { originBytes, note: "the others evicted each other" };
    },
  },
  {
    name: "everything-in-use",
    fault: "50 MiB quota, all of it pinned; pulls beyond it",
    async run(scope) {
      const scene = await aScene(scope, { ...LAYERS, ...OTHERS });
      const a = await aDaemon(scope, scene, "a", { set: QUOTA_SET });
      const pinned = Object.keys(OTHERS).slice(0, 4);
      for (const path of pinned) {
        await fetched(scene, a, path);
        demand((await anax(a, ["pin", urlOf(scene, path)])).code === 0, "it cannot be pinned");
      }
      for (const path of Object.keys(LAYERS)) await fetched(scene, a, path);
      for (const path of pinned) await fetched(scene, a, path, ["--disable-back-to-source"]);
      demand((await storedBytes(a.dataDir)) <= QUOTA, "the quota was exceeded");
      return { note: "pulls passed through, nothing kept" };
    },
  },
  {
    name: "twenty-at-once",
    fault: "20 downloads of 12 MiB at once, 50 MiB quota",
    async run(scope) {
      const content = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`/${i}`, { bytes: 12 * MIB, seed: 100 + i }]));
      const scene = await aScene(scope, content);
      const a = await aDaemon(scope, scene, "a", { set: QUOTA_SET });
      let most = 0;
      const over = new AbortController();
      const watching = (async () => {
        while (!over.signal.aborted) {
          most = Math.max(most, await storedBytes(a.dataDir));
          await sleep(10);
        }
      })();
      const startedMs = performance.now();
      const all = await Promise.allSettled(Object.keys(content).map((path) => fetched(scene, a, path)));
      over.abort();
      await watching;
      const failed = all.filter(({ status }) => status === "rejected");
      demand(failed.length === 0, `${failed.length} failed: ${String((failed[0] as PromiseRejectedResult | undefined)?.reason)}`);
      demand(most <= QUOTA, `${most} bytes were stored at once`);
      return { recoverSeconds: (performance.now() - startedMs) / 1000, note: `${Math.round(most / MIB)} MiB stored at most` };
    },
  },
];

/** Links the stored content of a path to another name, as `get` does for its output; as a layer store would. */
async function linked(scene: Scene, daemon: Parameters<typeof anax>[0], path: string, output: string): Promise<void> {
  const ran = await anax(daemon, ["get", urlOf(scene, path), "-O", output, "--force-hard-link"]);
  demand(ran.code === 0, `no hard link: ${ran.stderr}`);
}

/** What the content takes on the disk: blocks, as the files are made with holes. */
async function storedBytes(dataDir: string): Promise<number> {
  const tasks = join(dataDir, "pieces", "tasks");
  const names = await readdir(tasks, { recursive: true });
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(tasks, name)).then(
        (found) => (found.isFile() ? found.blocks * 512 : 0),
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}
