import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../kit/process.ts";
import { contentPathOf, layoutOf } from "../../src/p2p/pieces/layout.ts";
import { taskIdOf } from "../../src/p2p/model/ids.ts";
import type { Incident } from "./incident.ts";
import { aDaemon, anax, aScene, aScheduler, aSmallDisk, demand, fetched, fill, MIB, slay, urlOf, type Scene } from "./scene.ts";

const FILE = { bytes: 32 * MIB, seed: 7 };
const CONTENT = { "/file": FILE };

/** B's bytes must come from peers: what the origin sent since. */
function fromOrigin(scene: Scene): () => number {
  const before = scene.origin.totals().bytesSent;
  return () => scene.origin.totals().bytesSent - before;
}

/** Within this time everybody knows that a host is in trouble. */
const TAKES_EFFECT_MS = 3000;
/** The bound that a user may rely on; usually it is a second or two. */
const BOUND_SECONDS = 20;

const ONE_NODE: readonly Incident[] = [
  {
    name: "seed-disk-full",
    fault: "the seed's disk is full; A has it",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const disk = await aSmallDisk(scope, scene, "seed-disk", 96 * MIB);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      await aDaemon(scope, scene, "seed", { seed: true, schedulers, dataDir: join(disk, "data") });
      const a = await aDaemon(scope, scene, "a", { schedulers });
      await fetched(scene, a, "/file");
      await fill(disk);
      return asks(scope, scene, schedulers);
    },
  },
  {
    name: "seed-disk-full-nobody-has-it",
    fault: "the seed's disk is full; nobody has it",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const disk = await aSmallDisk(scope, scene, "seed-disk", 64 * MIB);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      await aDaemon(scope, scene, "seed", { seed: true, schedulers, dataDir: join(disk, "data") });
      await fill(disk);
      await sleep(TAKES_EFFECT_MS);
      return asks(scope, scene, schedulers, FILE.bytes);
    },
  },
  {
    name: "seed-frozen",
    fault: "SIGSTOP to the seed; A has it",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      const seed = await aDaemon(scope, scene, "seed", { seed: true, schedulers });
      const a = await aDaemon(scope, scene, "a", { schedulers });
      await fetched(scene, a, "/file");
      seed.kill("SIGSTOP");
      return asks(scope, scene, schedulers);
    },
  },
  {
    name: "seed-frozen-nobody-has-it",
    fault: "SIGSTOP to the seed; nobody has it",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      const seed = await aDaemon(scope, scene, "seed", { seed: true, schedulers });
      await sleep(TAKES_EFFECT_MS); // so that the scheduler counts on it
      seed.kill("SIGSTOP");
      return asks(scope, scene, schedulers, FILE.bytes * 1.1);
    },
  },
  {
    name: "holder-disk-full",
    fault: "the disk of A, the only holder, is full",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const disk = await aSmallDisk(scope, scene, "a-disk", 96 * MIB);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      const a = await aDaemon(scope, scene, "a", { schedulers, dataDir: join(disk, "data") });
      await fetched(scene, a, "/file");
      await fill(disk);
      return asks(scope, scene, schedulers);
    },
  },
  {
    name: "holder-frozen",
    fault: "SIGSTOP to A, one of two holders",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      const [a, c] = [await aDaemon(scope, scene, "a", { schedulers }), await aDaemon(scope, scene, "c", { schedulers })];
      await fetched(scene, a, "/file");
      await fetched(scene, c, "/file");
      a.kill("SIGSTOP");
      return asks(scope, scene, schedulers);
    },
  },
  {
    name: "only-holder-frozen",
    fault: "SIGSTOP to A, the only holder",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      const a = await aDaemon(scope, scene, "a", { schedulers });
      await fetched(scene, a, "/file");
      a.kill("SIGSTOP");
      return asks(scope, scene, schedulers, FILE.bytes * 1.1);
    },
  },
  {
    name: "holder-corrupting",
    fault: "bytes change on A's disk; C has it right",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      const [a, c] = [await aDaemon(scope, scene, "a", { schedulers }), await aDaemon(scope, scene, "c", { schedulers })];
      await fetched(scene, a, "/file");
      await fetched(scene, c, "/file");
      await corrupt(join(scene.dir, "a"), taskIdOf({ url: urlOf(scene, "/file") }));
      return asks(scope, scene, schedulers);
    },
  },
  {
    name: "only-holder-corrupting",
    fault: "bytes of 8 of 64 pieces change on A's disk; nobody else has it",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      const a = await aDaemon(scope, scene, "a", { schedulers });
      await fetched(scene, a, "/file");
      await corrupt(join(scene.dir, "a"), taskIdOf({ url: urlOf(scene, "/file") }));
      return asks(scope, scene, schedulers, FILE.bytes / 2);
    },
  },
  {
    name: "stale-holders",
    fault: "SIGKILL to three of four holders",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      const holders = [];
      for (const name of ["a1", "a2", "a3", "a4"]) holders.push(await aDaemon(scope, scene, name, { schedulers }));
      for (const holder of holders) await fetched(scene, holder, "/file");
      await Promise.all(holders.slice(1).map(slay));
      return asks(scope, scene, schedulers);
    },
  },
  {
    name: "alone",
    fault: "only B is there, and no seed",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const scheduler = await aScheduler(scope, scene);
      return asks(scope, scene, [scheduler.address], FILE.bytes * 1.01);
    },
  },
];

const SCHEDULERS: readonly Incident[] = [
  {
    name: "scheduler-restarted",
    fault: "SIGKILL to the scheduler, which comes back; A has it",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const port = await freePort();
      const first = await aScheduler(scope, scene, port);
      const schedulers = [first.address];
      const a = await aDaemon(scope, scene, "a", { schedulers });
      await fetched(scene, a, "/file");
      await slay(first);
      await aScheduler(scope, scene, port);
      return asks(scope, scene, schedulers);
    },
  },
  {
    name: "scheduler-gone",
    fault: "SIGKILL to the scheduler while B downloads from A",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const scheduler = await aScheduler(scope, scene);
      const schedulers = [scheduler.address];
      const a = await aDaemon(scope, scene, "a", { schedulers, set: { "p2p.rates.uploadBytesPerSecond": "16MiB/s" } });
      await fetched(scene, a, "/file");
      const b = await aDaemon(scope, scene, "b", { schedulers });
      const sent = fromOrigin(scene);
      const getting = fetched(scene, b, "/file");
      await sleep(500);
      await slay(scheduler);
      const seconds = await getting;
      demand(sent() === 0, `the origin sent ${sent()} bytes`);
      return { recoverSeconds: seconds, originBytes: sent(), note: "2 s at A's limit of 16 MiB/s" };
    },
  },
  {
    name: "two-of-three-schedulers-down",
    fault: "SIGKILL to two of three schedulers; A has it",
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      const three = [await aScheduler(scope, scene), await aScheduler(scope, scene), await aScheduler(scope, scene)];
      const schedulers = three.map(({ address }) => address);
      const a = await aDaemon(scope, scene, "a", { schedulers });
      await fetched(scene, a, "/file");
      await Promise.all(three.slice(0, 2).map(slay));
      return asks(scope, scene, schedulers);
    },
  },
];

export const NODES: readonly Incident[] = [...ONE_NODE, ...SCHEDULERS];

/** B joins and asks for the content; it must come in time, and from peers unless none has it. */
async function asks(scope: AsyncDisposableStack, scene: Scene, schedulers: readonly string[], originBytesMax = 0) {
  const b = await aDaemon(scope, scene, "b", { schedulers });
  const sent = fromOrigin(scene);
  const seconds = await fetched(scene, b, "/file");
  const originBytes = sent();
  if (originBytes > originBytesMax)
    throw new Error(`the origin sent ${originBytes} bytes\n${(await anax(b, ["explain", urlOf(scene, "/file")])).stdout}`);
  demand(seconds < BOUND_SECONDS, `it took ${seconds.toFixed(1)} s`);
  return { recoverSeconds: seconds, originBytes };
}

/** Changes a byte in each of eight pieces of a finished file, behind the back of its daemon. */
async function corrupt(dataDir: string, taskId: string): Promise<void> {
  await using file = await open(contentPathOf(layoutOf(join(dataDir, "pieces")), taskId), "r+");
  for (let i = 0; i < 8; i++) {
    const at = Math.floor(((i + 0.5) * FILE.bytes) / 8);
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, at);
    await file.write(Buffer.of(byte[0]! ^ 0xff), 0, 1, at); // one was read
  }
}
