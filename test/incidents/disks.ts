import { mkdir, readdir, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { contentPathOf, layoutOf } from "../../src/p2p/pieces/layout.ts";
import { taskIdOf } from "../../src/p2p/model/ids.ts";
import type { AnaxProcess } from "../kit/anax.ts";
import { jsonLines } from "../kit/cli.ts";
import { must, run } from "../kit/process.ts";
import { CannotHost, type Incident } from "./incident.ts";
import { aDaemon, anax, aScene, aScheduler, aSmallDisk, demand, fetched, MIB, urlOf, type Scene } from "./scene.ts";

const FILE = { bytes: 32 * MIB, seed: 19 };
const NEW = Object.fromEntries([1, 2, 3, 4, 5, 6].map((i) => [`/new-${i}`, { bytes: 8 * MIB, seed: 40 + i }]));
const SMALL_DISK_BYTES = 256 * MIB;
/** Of writes and reads; a disk that fails does no more. */
const SLOW_BYTES_PER_SECOND = 2 * MIB;
const BOUND_SECONDS = 20;
/** Within this time everybody knows how full a disk is. */
const TAKES_EFFECT_MS = 3000;

export const DISKS: readonly Incident[] = [
  {
    name: "slow-disk-of-receiver",
    fault: "B's disk does 2 MiB/s; C asks at the same time",
    async run(scope) {
      const scene = await aScene(scope, { "/file": FILE });
      const disk = await aSlowDisk(scope, scene);
      const schedulers = [(await aScheduler(scope, scene)).address];
      await fetched(scene, await aDaemon(scope, scene, "a", { schedulers }), "/file");
      const b = await aDaemon(scope, scene, "b", { schedulers, dataDir: join(disk.dir, "data") });
      const c = await aDaemon(scope, scene, "c", { schedulers });
      const before = scene.origin.totals().bytesSent;
      await disk.slow();
      const [slow, quick] = await Promise.all([fetched(scene, b, "/file"), fetched(scene, c, "/file")]);
      const alone = FILE.bytes / SLOW_BYTES_PER_SECOND;
      demand(quick < BOUND_SECONDS && quick < slow / 2, `C took ${quick.toFixed(1)} s, B ${slow.toFixed(1)} s`);
      demand(slow < alone * 2 + BOUND_SECONDS, `B took ${slow.toFixed(1)} s`);
      const originBytes = scene.origin.totals().bytesSent - before;
      demand(originBytes === 0, `the origin sent ${originBytes} bytes`);
      return { recoverSeconds: slow, originBytes, note: `C was done in ${quick.toFixed(1)} s; ${alone} s is what the disk needs` };
    },
  },
  {
    name: "slow-disk-of-holder",
    fault: "A's disk does 2 MiB/s and its content is in no cache; C has it too",
    async run(scope) {
      const scene = await aScene(scope, { "/file": FILE });
      const disk = await aSlowDisk(scope, scene);
      const schedulers = [(await aScheduler(scope, scene)).address];
      const dataDir = join(disk.dir, "data");
      const a = await aDaemon(scope, scene, "a", { schedulers, dataDir });
      for (const holder of [a, await aDaemon(scope, scene, "c", { schedulers })]) await fetched(scene, holder, "/file");
      await forgetCached(contentPathOf(layoutOf(join(dataDir, "pieces")), taskIdOf({ url: urlOf(scene, "/file") })));
      await disk.slow();
      const before = scene.origin.totals().bytesSent;
      const seconds = await fetched(scene, await aDaemon(scope, scene, "b", { schedulers }), "/file");
      const originBytes = scene.origin.totals().bytesSent - before;
      demand(originBytes === 0, `the origin sent ${originBytes} bytes`);
      demand(seconds < FILE.bytes / SLOW_BYTES_PER_SECOND / 2, `it took ${seconds.toFixed(1)} s`);
      return { recoverSeconds: seconds, originBytes, note: `from A alone it would take ${FILE.bytes / SLOW_BYTES_PER_SECOND} s` };
    },
  },
  {
    name: "seed-disk-busy",
    fault: "the disk of one of two seeds is used to 90 %; B asks for six new files",
    async run(scope) {
      const scene = await aScene(scope, NEW);
      const disk = await aSmallDisk(scope, SMALL_DISK_BYTES);
      const schedulers = [(await aScheduler(scope, scene)).address];
      const busy = await aDaemon(scope, scene, "seed-1", { seed: true, schedulers, dataDir: join(disk, "data") });
      const other = await aDaemon(scope, scene, "seed-2", { seed: true, schedulers });
      const b = await aDaemon(scope, scene, "b", { schedulers });
      await fillTo(disk, 90);
      await sleep(TAKES_EFFECT_MS);
      for (const path of Object.keys(NEW)) await fetched(scene, b, path);
      const [onBusy, onOther] = [await tasksOf(busy), await tasksOf(other)];
      demand(onBusy === 0 && onOther === Object.keys(NEW).length, `${onBusy} were placed on the busy one, ${onOther} on the other`);
      return { note: "all six were placed on the other" };
    },
  },
  {
    name: "holder-disk-at-limit",
    fault: "A's disk is used to 97 %; B asks for what A has, A for something new",
    async run(scope) {
      const scene = await aScene(scope, { "/file": FILE, ...NEW });
      const disk = await aSmallDisk(scope, SMALL_DISK_BYTES);
      const schedulers = [(await aScheduler(scope, scene)).address];
      const a = await aDaemon(scope, scene, "a", { schedulers, dataDir: join(disk, "data") });
      await fetched(scene, a, "/file");
      demand((await anax(a, ["pin", urlOf(scene, "/file")])).code === 0, "it cannot be pinned");
      await fillTo(disk, 97);
      await sleep(TAKES_EFFECT_MS);
      await fetched(scene, a, "/new-1");
      demand((await tasksOf(a)) === 1, "A wrote to its disk");
      const before = scene.origin.totals().bytesSent;
      const seconds = await fetched(scene, await aDaemon(scope, scene, "b", { schedulers }), "/file");
      const originBytes = scene.origin.totals().bytesSent - before;
      demand(originBytes === 0, `the origin sent ${originBytes} bytes`);
      return { recoverSeconds: seconds, originBytes, note: "A served, and passed the new one through without keeping it" };
    },
  },
];

interface SlowDisk {
  readonly dir: string;
  /** From now on. */
  slow(): Promise<void>;
}

const THROTTLE = "/sys/fs/cgroup/blkio/blkio.throttle";

/** A real file system on a loop device that the kernel slows down: what lies in the page cache is as quick as ever, the disk is not. */
async function aSlowDisk(scope: AsyncDisposableStack, scene: Scene): Promise<SlowDisk> {
  const [dir, image] = [join(scene.dir, "slow"), join(scene.dir, "slow.img")];
  await mkdir(dir);
  await writeFile(image, "");
  await truncate(image, 512 * MIB);
  const made = await run("sh", ["-c", `mkfs.ext4 -q -m 0 -F '${image}' && mount -o loop '${image}' '${dir}'`]);
  if (made.code !== 0) throw new CannotHost(`no file system on a loop device can be mounted: ${made.stderr.trim()}`);
  scope.defer(async () => void (await must("umount", [dir])));
  const loop = (await must("losetup", ["-j", image])).split(":")[0]!.split("/").at(-1)!; // it is mounted
  const device = (await must("cat", [`/sys/block/${loop}/dev`])).trim();
  const throttle = (bytesPerSecond: number): Promise<unknown> =>
    Promise.all(["read", "write"].map((way) => writeFile(`${THROTTLE}.${way}_bps_device`, `${device} ${bytesPerSecond}`)));
  await throttle(0).catch((thrown: Error) => {
    throw new CannotHost(`a disk cannot be slowed down here: ${thrown.message}`);
  });
  scope.defer(async () => void (await throttle(0))); // before it is unmounted: that writes
  return { dir, slow: async () => void (await throttle(SLOW_BYTES_PER_SECOND)) };
}

/** What the next reader gets comes from the disk. */
async function forgetCached(path: string): Promise<void> {
  await must("sync", [path]);
  await must("dd", [`if=${path}`, "iflag=nocache", "count=0", "status=none"]);
}

/** Another program's file, so large that this share of the file system is used. */
async function fillTo(dir: string, percent: number): Promise<void> {
  const { blocks, bavail, bsize } = await statfs(dir);
  const bytes = Math.ceil(((percent / 100) * blocks - (blocks - bavail)) * bsize);
  await writeFile(join(dir, `filler-${(await readdir(dir)).length}`), Buffer.alloc(bytes));
}

const tasksOf = async (daemon: AnaxProcess): Promise<number> => jsonLines((await anax(daemon, ["ls", "--json"])).stdout).length;
