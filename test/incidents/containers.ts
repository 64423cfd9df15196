import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AnaxProcess } from "../kit/anax.ts";
import { jsonLines } from "../kit/cli.ts";
import { podmanIn, REGISTRY, startContainerd, writeRegistriesConf } from "../kit/container-engines.ts";
import { openCri } from "../kit/cri.ts";
import { digestOfFile, writeImage, type Image } from "../kit/image.ts";
import { freePort, missingPrograms, must, run } from "../kit/process.ts";
import { startTestRegistry, type TestRegistry } from "../kit/registry.ts";
import { CannotHost, type Incident } from "./incident.ts";
import { aDaemon, anax, demand, MIB } from "./scene.ts";

const QUOTA = 50 * MIB;
const BUSYBOX = "/bin/busybox";
const APP = "lab/app";
const OTHERS = ["lab/other-1", "lab/other-2", "lab/other-3", "lab/other-4"] as const;
const referenceOf = (repository: string): string => `${REGISTRY}/${repository}:1`;

/** A container engine of this machine, with images and containers of its own. */
interface Engine {
  /** What tells Anax of it. */
  readonly settings: Readonly<Record<string, string>>;
  pull(reference: string): Promise<void>;
  /** Makes a container of the image, and runs it where the kernel lets it. */
  start(reference: string): Promise<"running" | "created">;
  /** Stops and deletes it. */
  remove(): Promise<void>;
}

interface EngineKind {
  readonly name: string;
  readonly programs: readonly string[];
  /** `mirror` stands for the registry. */
  open(scope: AsyncDisposableStack, dir: string, mirror: string): Promise<Engine>;
}

const NAME = "web";
const NOT_ASKED = { "p2p.inUse.containerd": "[]", "p2p.inUse.cri": "[]", "p2p.inUse.containerStorage": "[]" };

const ENGINES: readonly EngineKind[] = [
  { name: "containerd", programs: ["containerd", "ctr", "runc"], open: withCtr },
  { name: "cri", programs: ["containerd", "runc"], open: withCri },
  { name: "podman", programs: ["podman", "runc"], open: withPodman },
];

export const CONTAINERS: readonly Incident[] = ENGINES.map((kind) => ({
  name: `running-image-stays-${kind.name}`,
  fault: `50 MiB quota, a real container (${kind.name}); pulls beyond it`,
  run: (scope) => runningImageStays(scope, kind),
}));

async function runningImageStays(scope: AsyncDisposableStack, kind: EngineKind) {
  const missing = missingPrograms(["skopeo", BUSYBOX, ...kind.programs]);
  if (missing.length > 0) throw new CannotHost(`not installed: ${missing.join(", ")}`);
  if (process.getuid?.() !== 0) throw new CannotHost("needs root");
  const dir = await mkdtemp(join(tmpdir(), "anax-incident-"));
  scope.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 3 }));
  const registry = scope.use(await startTestRegistry());
  const app = await published(dir, registry, APP);
  const others = [];
  for (const repository of OTHERS) others.push(await published(dir, registry, repository));
  const port = await freePort();
  const mirror = `127.0.0.1:${port}`;
  const engine = await kind.open(scope, dir, mirror);
  const daemon = await aDaemon(scope, { dir }, "a", {
    set: {
      ...NOT_ASKED,
      ...engine.settings,
      "p2p.pieces.quotaBytes": String(QUOTA),
      "p2p.proxy.registries": JSON.stringify({ [REGISTRY]: { url: `http://${registry.host}` } }),
      "p2p.proxy.mirrors": JSON.stringify([{ port, registry: REGISTRY }]),
    },
  });
  await engine.pull(referenceOf(APP));
  const how = await engine.start(referenceOf(APP));
  for (const repository of OTHERS) await engine.pull(referenceOf(repository));
  demand(!(await hasAll(daemon, others)), "the others did not evict each other");

  const before = readsOf(registry, app);
  await pulledAgain(dir, mirror, app);
  const reads = readsOf(registry, app) - before;
  demand(reads === 0, `layers in use were collected: the registry sent ${reads} blobs again`);
  const kept = await verdictsOf(daemon, app, ["--dry-run"]);
  demand(
    app.layerDigests.length === kept.length && kept.every(({ verdict, inUse }) => verdict === "in-use" && inUse.includes("container")),
    `gc says of the layers ${JSON.stringify(kept)}`,
  );
  demand(
    kept.every(({ usedBy }) => usedBy.some((by) => by.includes(NAME) && by.includes(APP))),
    `the container is not named: ${JSON.stringify(kept[0]?.usedBy)}`,
  );

  await engine.remove();
  const gone = await verdictsOf(daemon, app, ["--free", "1GiB"]);
  demand(
    gone.every(({ verdict }) => verdict === "space"),
    "the layers stay when the container is gone",
  );
  return { originBytes: 0, note: `the container was ${how}; the others evicted each other` };
}

/** An image of three layers, 22 MiB, in the registry. */
async function published(dir: string, registry: TestRegistry, repository: string): Promise<Image> {
  const layout = join(dir, "images", repository);
  const image = await writeImage({
    dir: layout,
    tag: "1",
    bytes: 20 * MIB,
    layers: 3,
    seed: [APP, ...OTHERS].indexOf(repository),
    busybox: BUSYBOX,
    script: "sleep 600",
  });
  const blob = (digest: string): Promise<Buffer> => readFile(join(layout, "blobs", digest.replace(":", "/")));
  for (const digest of [image.configDigest, ...image.layerDigests]) registry.putBlob(await blob(digest));
  const digest = registry.putManifest(repository, "1", JSON.parse((await blob(image.manifestDigest)).toString()));
  demand(digest === image.manifestDigest, "the registry has another manifest");
  await rm(layout, { recursive: true });
  return image;
}

const readsOf = (registry: TestRegistry, image: Image): number =>
  [image.configDigest, ...image.layerDigests].reduce((sum, digest) => sum + registry.count("GET", `/blobs/${digest}`), 0);

/** By a client that has nothing of it yet; every byte is compared. */
async function pulledAgain(dir: string, mirror: string, image: Image): Promise<void> {
  const conf = await writeRegistriesConf(join(dir, "again.conf"), mirror);
  const out = join(dir, "again");
  await must("skopeo", ["--registries-conf", conf, "--insecure-policy", "copy", "-q", `docker://${referenceOf(APP)}`, `oci:${out}:1`]);
  for (const digest of image.layerDigests)
    demand((await digestOfFile(join(out, "blobs", digest.replace(":", "/")))) === digest, "wrong bytes");
}

interface GcVerdict {
  readonly taskId: string;
  readonly verdict: string;
  readonly inUse: readonly string[];
  readonly usedBy: readonly string[];
}

/** What `anax gc` says of an image's layers. */
async function verdictsOf(daemon: AnaxProcess, image: Image, args: readonly string[]): Promise<readonly GcVerdict[]> {
  const ran = await anax(daemon, ["gc", ...args, "--json"]);
  demand(ran.code === 0, `gc ended with ${ran.code}: ${ran.stderr}`);
  const all = jsonLines(ran.stdout) as readonly Partial<GcVerdict>[];
  return all.filter((line): line is GcVerdict => image.layerDigests.includes(`sha256:${line.taskId}`));
}

async function hasAll(daemon: AnaxProcess, images: readonly Image[]): Promise<boolean> {
  const stored = new Set(jsonLines((await anax(daemon, ["ls", "--json"])).stdout).map(({ taskId }) => `sha256:${String(taskId)}`));
  return images.every(({ layerDigests }) => layerDigests.every((digest) => stored.has(digest)));
}

async function withCtr(scope: AsyncDisposableStack, dir: string, mirror: string): Promise<Engine> {
  const { socket, hostsDir } = await aContainerd(scope, dir, mirror);
  const ctr = (...args: readonly string[]) => run("ctr", ["--address", socket, ...args]);
  const remove = async (): Promise<void> => {
    await ctr("tasks", "rm", "-f", NAME);
    await ctr("containers", "rm", NAME);
  };
  scope.defer(remove);
  return {
    settings: { "p2p.inUse.containerd": JSON.stringify([socket]) },
    async pull(reference) {
      await must("ctr", ["--address", socket, "images", "pull", "--snapshotter", "native", "--hosts-dir", hostsDir, reference]);
    },
    async start(reference) {
      if ((await ctr("run", "-d", "--snapshotter", "native", "--net-host", reference, NAME)).code === 0) return "running";
      await remove();
      await must("ctr", ["--address", socket, "containers", "create", "--snapshotter", "native", "--net-host", reference, NAME]);
      return "created";
    },
    remove,
  };
}

/** As a kubelet does it; containerd itself is not asked. */
async function withCri(scope: AsyncDisposableStack, dir: string, mirror: string): Promise<Engine> {
  const { socket } = await aContainerd(scope, dir, mirror);
  const cri = scope.use(openCri(socket));
  let pod: string | undefined;
  const remove = async (): Promise<void> => {
    if (pod !== undefined) await cri.removePod(pod);
    pod = undefined;
  };
  scope.defer(remove);
  return {
    settings: { "p2p.inUse.cri": JSON.stringify([socket]) },
    async pull(reference) {
      await cri.pullImage(reference);
    },
    async start(reference) {
      try {
        pod = await cri.runPod(NAME);
      } catch (thrown) {
        throw new CannotHost(`containerd runs no pods here: ${String(thrown)}`);
      }
      return cri.startContainer({ pod, name: NAME, image: reference });
    },
    remove,
  };
}

async function aContainerd(scope: AsyncDisposableStack, dir: string, mirror: string) {
  const place = join(dir, "containerd");
  await mkdir(place);
  return scope.use(await startContainerd(place, { mirror, sandboxImage: referenceOf(APP) }));
}

async function withPodman(scope: AsyncDisposableStack, dir: string, mirror: string): Promise<Engine> {
  const place = join(dir, "podman");
  await mkdir(place);
  const podman = await podmanIn(place, mirror);
  const remove = async (): Promise<void> => {
    await podman.run(["rm", "-f", "-t", "0", NAME]);
  };
  scope.defer(remove);
  return {
    settings: { "p2p.inUse.containerStorage": JSON.stringify([podman.root]) },
    async pull(reference) {
      await podman.must(["pull", "-q", reference]);
    },
    async start(reference) {
      if ((await podman.run(["run", "-d", "--name", NAME, "--network=host", reference])).code === 0) return "running";
      await remove();
      await podman.must(["create", "--name", NAME, "--network=host", reference]);
      return "created";
    },
    remove,
  };
}
