import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import { ImageServiceService, RuntimeServiceService, type Container, type Image } from "../../wire/grpc/gen/runtime/v1/cri.ts";
import { GrpcServer } from "../../wire/grpc/server.ts";
import { serviceOf } from "../../wire/grpc/service.ts";
import { CriSource } from "./cri.ts";
import type { Look } from "./use-source.ts";

const ID = "1".repeat(64);
const [MANIFEST, LAYER] = ["a", "b"].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];

const aContainer = (container: Partial<Container> = {}): Container => ({
  id: "c1",
  metadata: { name: "app" },
  image: { image: "registry.test/app:1" },
  imageRef: ID,
  labels: { "io.kubernetes.pod.name": "web-0", "io.kubernetes.container.name": "app" },
  ...container,
});

/** CRI-O as far as it matters: ids without an algorithm, no content service, images in a storage of files. */
async function lookAt(machine: {
  readonly containers: readonly Container[];
  readonly image: Image | undefined;
  /** Layers in its storage; undefined: the storage has no such image. */
  readonly layers: readonly string[] | undefined;
}): Promise<Look> {
  await using scope = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "anax-cri-"));
  scope.defer(() => rm(dir, { recursive: true, force: true }));
  const storage = join(dir, "storage");
  await mkdir(join(storage, "overlay-containers"), { recursive: true });
  await mkdir(join(storage, "overlay-images", ID), { recursive: true });
  if (machine.layers !== undefined) {
    const images = [{ id: ID, digest: MANIFEST, names: [], "big-data-names": ["manifest"] }];
    const manifest = { config: { digest: `sha256:${ID}` }, layers: machine.layers.map((digest) => ({ digest })) };
    await writeFile(join(storage, "overlay-images/images.json"), JSON.stringify(images));
    await writeFile(join(storage, "overlay-images", ID, "manifest"), JSON.stringify(manifest));
  }
  const path = join(dir, "crio.sock");
  const services = [
    serviceOf(RuntimeServiceService, { listContainers: () => ({ containers: [...machine.containers] }) }),
    serviceOf(ImageServiceService, { imageStatus: () => ({ image: machine.image }) }),
  ];
  scope.use(await GrpcServer.start({ listen: [{ path }], services, clock: realClock, onError: () => undefined }));
  const source = new CriSource({ path, usual: false, clock: realClock, timeoutMs: 10_000 }, [join(dir, "none"), storage]);
  return await source.look(new AbortController().signal);
}

function digestsOf(look: Look): readonly string[] {
  assert.equal(look.kind, "seen");
  return look.uses.map(({ content }) => (typeof content === "object" && "digest" in content ? content.digest : "")).toSorted();
}

test("CRI-O: the layers come from its storage, and a pod's container has the name that people know", async () => {
  const look = await lookAt({
    containers: [aContainer(), aContainer({ id: "c2", labels: {} })],
    image: { id: ID, repoDigests: [`registry.test/app@${MANIFEST}`] },
    layers: [LAYER],
  });
  assert.deepEqual([...new Set(digestsOf(look))], [`sha256:${ID}`, MANIFEST, LAYER]);
  assert.ok(look.kind === "seen" && look.withoutLayers.length === 0);
  assert.deepEqual([...new Set(look.uses.map(({ by }) => by))], ["web-0/app (registry.test/app:1)", "app (registry.test/app:1)"]);
});

test("an image whose layers nobody knows keeps what is known, and says so", async () => {
  for (const image of [{ id: ID, repoDigests: [`registry.test/app@${MANIFEST}`] }, undefined]) {
    const look = await lookAt({ containers: [aContainer()], image, layers: undefined });
    assert.deepEqual(digestsOf(look), image === undefined ? [`sha256:${ID}`] : [`sha256:${ID}`, MANIFEST]);
    assert.deepEqual(look.kind === "seen" && look.withoutLayers, ["web-0/app (registry.test/app:1)"]);
  }
});

test("names that are no digests, and more containers than a machine has", async () => {
  const image = { id: ID, repoDigests: ["", "no digest", "app@sha256:short"] };
  const look = await lookAt({ containers: [aContainer()], image, layers: [LAYER] });
  assert.deepEqual(digestsOf(look), [`sha256:${ID}`, MANIFEST, LAYER]);
  const many = Array.from({ length: 10_001 }, () => aContainer());
  await assert.rejects(lookAt({ containers: many, image, layers: [LAYER] }), { code: "limit.exceeded" });
});
