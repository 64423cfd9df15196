import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AnaxProcess } from "../kit/anax.ts";
import { freePort } from "../kit/process.ts";
import { contentPathOf, layoutOf } from "../../src/p2p/pieces/layout.ts";
import { taskIdOf } from "../../src/p2p/model/ids.ts";
import type { Incident } from "./incident.ts";
import { aDaemon, anax, aScene, aScheduler, aSmallDisk, demand, fetched, fill, MIB, slay, urlOf, type Scene } from "./scene.ts";

const FILE = { bytes: 32 * MIB, seed: 7 };
const CONTENT = { "/file": FILE };

interface Cluster {
  readonly scene: Scene;
  readonly schedulers: readonly string[];
  /** Present where there is one. */
  readonly seed: AnaxProcess | undefined;
  /** Who has the content; the first is A. */
  readonly holders: readonly AnaxProcess[];
}

interface Trouble {
  readonly name: string;
  readonly fault: string;
  /** Has a small disk, named `disk`, or an ordinary one. */
  readonly seed?: "ordinary" | "small-disk";
  readonly holders?: number;
  /** A's data directory is on the small disk. */
  readonly isHolderSmall?: boolean;
  /** What the origin may send; default: nothing, as somebody has the content. */
  readonly originBytesMax?: number;
  readonly cause: (cluster: Cluster, disk: string) => Promise<void> | void;
}

/** Room for the content and some more. */
const SMALL_DISK_BYTES = 96 * MIB;

/** A cluster in which that happens, and then B asks. */
const after = ({ name, fault, seed, holders = 0, isHolderSmall = false, originBytesMax = 0, cause }: Trouble): Incident => ({
  name,
  fault,
  async run(scope) {
    const scene = await aScene(scope, CONTENT);
    const disk = seed === "small-disk" || isHolderSmall ? await aSmallDisk(scope, SMALL_DISK_BYTES) : "";
    const onDisk = { dataDir: join(disk, "data") };
    const schedulers = [(await aScheduler(scope, scene)).address];
    const started =
      seed === undefined
        ? undefined
        : await aDaemon(scope, scene, "seed", { seed: true, schedulers, ...(seed === "small-disk" ? onDisk : {}) });
    const others: AnaxProcess[] = [];
    for (let i = 0; i < holders; i++)
      others.push(await aDaemon(scope, scene, `a${i}`, { schedulers, ...(isHolderSmall && i === 0 ? onDisk : {}) }));
    for (const holder of others) await fetched(scene, holder, "/file");
    if (others.length === 0 && started !== undefined) await sleep(TAKES_EFFECT_MS); // so that the scheduler counts on it
    await cause({ scene, schedulers, seed: started, holders: others }, disk);
    return asks(scope, scene, schedulers, originBytesMax);
  },
});

/** B's bytes must come from peers: what the origin sent since. */
function fromOrigin(scene: Scene): () => number {
  const before = scene.origin.totals().bytesSent;
  return () => scene.origin.totals().bytesSent - before;
}

/** Within this time everybody knows that a host is in trouble. */
const TAKES_EFFECT_MS = 3000;
/** The bound that a user may rely on; usually it is a second or two. */
const BOUND_SECONDS = 20;

const ONE_NODE: readonly Incident[] = (
  [
    {
      name: "seed-disk-full",
      fault: "the seed's disk is full; A has it",
      seed: "small-disk",
      holders: 1,
      cause: (_, disk) => fill(disk),
    },
    {
      name: "seed-disk-full-nobody-has-it",
      fault: "the seed's disk is full; nobody has it",
      seed: "small-disk",
      originBytesMax: FILE.bytes,
      async cause(_, disk) {
        await fill(disk);
        await sleep(TAKES_EFFECT_MS);
      },
    },
    {
      name: "seed-frozen",
      fault: "SIGSTOP to the seed; A has it",
      seed: "ordinary",
      holders: 1,
      cause: ({ seed }) => seed?.kill("SIGSTOP"),
    },
    {
      name: "seed-frozen-nobody-has-it",
      fault: "SIGSTOP to the seed; nobody has it",
      seed: "ordinary",
      originBytesMax: FILE.bytes * 1.1,
      cause: ({ seed }) => seed?.kill("SIGSTOP"),
    },
    {
      name: "holder-disk-full",
      fault: "the disk of A, the only holder, is full",
      holders: 1,
      isHolderSmall: true,
      cause: (_, disk) => fill(disk),
    },
    {
      name: "holder-frozen",
      fault: "SIGSTOP to A, one of two holders",
      holders: 2,
      cause: ({ holders }) => holders[0]?.kill("SIGSTOP"),
    },
    {
      name: "only-holder-frozen",
      fault: "SIGSTOP to A, the only holder",
      holders: 1,
      originBytesMax: FILE.bytes * 1.1,
      cause: ({ holders }) => holders[0]?.kill("SIGSTOP"),
    },
    {
      name: "holder-corrupting",
      fault: "bytes change on A's disk; C has it right",
      holders: 2,
      cause: corrupt,
    },
    {
      name: "only-holder-corrupting",
      fault: "bytes of 8 of 64 pieces change on A's disk; nobody else has it",
      holders: 1,
      originBytesMax: FILE.bytes / 2,
      cause: corrupt,
    },
    {
      name: "stale-holders",
      fault: "SIGKILL to three of four holders",
      holders: 4,
      async cause({ holders }) {
        await Promise.all(holders.slice(1).map(slay));
      },
    },
    { name: "alone", fault: "only B is there, and no seed", originBytesMax: FILE.bytes * 1.01, cause: () => undefined },
  ] satisfies readonly Trouble[]
).map(after);

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
  if (seconds >= BOUND_SECONDS)
    throw new Error(`it took ${seconds.toFixed(1)} s\n${(await anax(b, ["explain", urlOf(scene, "/file")])).stdout}`);
  return { recoverSeconds: seconds, originBytes };
}

/** Changes a byte in each of eight pieces of A's finished file, behind the back of its daemon. */
async function corrupt({ scene, holders }: Cluster): Promise<void> {
  const taskId = taskIdOf({ url: urlOf(scene, "/file") });
  await using file = await open(contentPathOf(layoutOf(join(holders[0]!.dataDir, "pieces")), taskId), "r+"); // there is an A
  for (let i = 0; i < 8; i++) {
    const at = Math.floor(((i + 0.5) * FILE.bytes) / 8);
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, at);
    await file.write(Buffer.of(byte[0]! ^ 0xff), 0, 1, at); // one was read
  }
}
