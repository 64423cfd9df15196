import assert from "node:assert/strict";
import { link, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { ContainerStorageSource } from "../../src/node/in-use/container-storage.ts";
import { ContainerdSource } from "../../src/node/in-use/containerd.ts";
import { CriSource } from "../../src/node/in-use/cri.ts";
import { MountSource } from "../../src/node/in-use/mounts.ts";
import type { Look, UseSource } from "../../src/node/in-use/use-source.ts";
import { podmanIn, REGISTRY, startContainerd } from "../kit/container-engines.ts";
import { openCri } from "../kit/cri.ts";
import { writeImage, type Image } from "../kit/image.ts";
import { missingPrograms, must, run } from "../kit/process.ts";
import { startTestRegistry, type TestRegistry } from "../kit/registry.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

const BUSYBOX = "/bin/busybox";
const REFERENCE = `${REGISTRY}/lab/app:1`;
const UNUSED = `${REGISTRY}/lab/unused:1`;

/** Why these cannot run here, or false. */
function skipOf(...programs: readonly string[]): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  const missing = missingPrograms([BUSYBOX, ...programs]);
  return missing.length > 0 && `not installed: ${missing.join(", ")}`;
}

suite("what real runtimes say of the images that their containers have", { skip: skipOf() }, () => {
  const scope = new AsyncDisposableStack();
  let dir: string;
  let registry: TestRegistry;
  let image: Image;

  before(async () => {
    dir = scope.use(await temporaryDirectory()).path;
    registry = scope.use(await startTestRegistry());
    image = await published("lab/app", 1);
    await published("lab/unused", 2);
  });
  after(() => scope.disposeAsync());

  async function published(repository: string, seed: number): Promise<Image> {
    const layout = join(dir, repository);
    const made = await writeImage({ dir: layout, tag: "1", bytes: 100_000, layers: 3, seed, busybox: BUSYBOX, script: "sleep 600" });
    const blob = (digest: string): Promise<Buffer> => readFile(join(layout, "blobs", digest.replace(":", "/")));
    for (const digest of [made.configDigest, ...made.layerDigests]) registry.putBlob(await blob(digest));
    registry.putManifest(repository, "1", JSON.parse((await blob(made.manifestDigest)).toString()));
    return made;
  }

  async function place(name: string): Promise<string> {
    await mkdir(join(dir, name));
    return join(dir, name);
  }

  async function holdsTheImage(source: UseSource): Promise<void> {
    const { uses, withoutLayers } = await seenBy(source);
    const digests = new Set(uses.map(({ content }) => (typeof content === "object" && "digest" in content ? content.digest : "")));
    assert.deepEqual([...digests].toSorted(), [image.manifestDigest, image.configDigest, ...image.layerDigests].toSorted());
    assert.ok(
      uses.every(({ by }) => by.includes("web") && by.includes(REFERENCE)),
      uses[0]?.by,
    );
    assert.deepEqual(withoutLayers, []);
  }

  test("podman: a container that was never started counts, an image without one does not", { skip: skipOf("podman") }, async () => {
    const podman = await podmanIn(await place("podman"), registry.host);
    const source = new ContainerStorageSource(podman.root);
    for (const reference of [REFERENCE, UNUSED]) await podman.must(["pull", "-q", reference]);
    assert.deepEqual((await seenBy(source)).uses, []);
    await podman.must(["create", "--name", "web", "--network=host", REFERENCE]);
    await holdsTheImage(source);
    await podman.must(["rm", "web"]);
    assert.deepEqual((await seenBy(source)).uses, []);
  });

  test(
    "containerd: likewise, whatever a name comes to mean later, and in every namespace",
    { skip: skipOf("containerd", "ctr") },
    async () => {
      const { socket, hostsDir } = scope.use(
        await startContainerd(await place("containerd"), { mirror: registry.host, sandboxImage: REFERENCE }),
      );
      const source = new ContainerdSource({ path: socket, usual: false, clock: realClock, timeoutMs: 20_000 });
      const ctr = (...args: readonly string[]) => must("ctr", ["--address", socket, "-n", "lab", ...args]);
      for (const reference of [REFERENCE, UNUSED])
        await ctr("images", "pull", "--snapshotter", "native", "--hosts-dir", hostsDir, reference);
      assert.deepEqual((await seenBy(source)).uses, []);
      await ctr("containers", "create", "--snapshotter", "native", REFERENCE, "web");
      await holdsTheImage(source);
      await ctr("images", "tag", "--force", UNUSED, REFERENCE);
      await holdsTheImage(source);
      await ctr("containers", "rm", "web");
      assert.deepEqual((await seenBy(source)).uses, []);
    },
  );

  test("the Container Runtime Interface: a container in a pod", { skip: skipOf("containerd", "runc") }, async (t) => {
    const { socket } = scope.use(await startContainerd(await place("cri"), { mirror: registry.host, sandboxImage: REFERENCE }));
    const source = new CriSource({ path: socket, usual: false, clock: realClock, timeoutMs: 20_000 }, []);
    using cri = openCri(socket);
    await cri.pullImage(REFERENCE);
    assert.deepEqual((await seenBy(source)).uses, []);
    const pod = await cri.runPod("web").catch((thrown: unknown) => t.skip(`no pods here: ${String(thrown)}`));
    if (pod === undefined) return;
    await cri.startContainer({ pod, name: "web", image: REFERENCE });
    await holdsTheImage(source);
    await cri.removePod(pod);
    assert.deepEqual((await seenBy(source)).uses, []);
  });
});

test("stored files that are mounted: by themselves, and as a loop device by another name", { skip: skipOf("mount") }, async (t) => {
  await using scope = new AsyncDisposableStack();
  const { path: dir } = scope.use(await temporaryDirectory());
  const store = join(dir, "a store");
  await mkdir(join(store, "tasks"), { recursive: true });
  const [bound, target, looped, other] = [join(store, "tasks/one"), join(dir, "on here"), join(dir, "image"), join(dir, "target")];
  for (const path of [bound, target, other]) await writeFile(path, "content");
  await writeFile(join(store, "tasks/two"), Buffer.alloc(1024 * 1024));
  await link(join(store, "tasks/two"), looped);
  const source = new MountSource(store);
  assert.deepEqual((await seenBy(source)).uses, []);
  for (const [what, on] of [
    [bound, target],
    [join(dir, "image"), other], // not one of the store's
  ] as const) {
    const mounted = await run("mount", ["--bind", what, on]);
    if (mounted.code !== 0) return t.skip(`no mounts here: ${mounted.stderr}`);
    scope.defer(() => run("umount", [on]).then(() => undefined));
  }
  assert.deepEqual(
    (await seenBy(source)).uses.map(({ by }) => by),
    [target],
  );
  const loop = await run("losetup", ["-f", "--show", looped]);
  if (loop.code !== 0) return t.diagnostic(`no loop devices here: ${loop.stderr}`);
  const device = loop.stdout.trim();
  scope.defer(() => run("losetup", ["-d", device]).then(() => undefined));
  assert.deepEqual((await seenBy(source)).uses.map(({ by }) => by).toSorted(), [device, target].toSorted());
});

async function seenBy(source: UseSource): Promise<Look & { readonly kind: "seen" }> {
  const look = await source.look(new AbortController().signal);
  assert.equal(look.kind, "seen");
  return look;
}
