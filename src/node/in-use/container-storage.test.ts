import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ContainerStorageSource } from "./container-storage.ts";

const idOf = (digit: string): string => digit.repeat(64);
const [IMAGE, OTHER, CONTAINER] = [idOf("1"), idOf("2"), idOf("c")];
const [MANIFEST, LAYER] = [`sha256:${idOf("a")}`, `sha256:${idOf("b")}`];
const manifestOf = (layer: string) => ({ config: { digest: `sha256:${IMAGE}` }, layers: [{ digest: layer }] });

interface Lists {
  readonly containers?: unknown;
  readonly volatile?: unknown;
  readonly images?: unknown;
  /** By name of the part. */
  readonly parts?: Readonly<Record<string, unknown>>;
}

const IMAGES = [
  { id: IMAGE, digest: MANIFEST, names: ["app:1"], "big-data-names": [`sha256:${IMAGE}`, `manifest-${MANIFEST}`, "manifest"] },
  { id: OTHER, digest: `sha256:${OTHER}`, names: ["other:1"], "big-data-names": ["manifest"] },
];

/** A text as it is, anything else as JSON; nothing where there is nothing. */
async function write(path: string, value: unknown): Promise<void> {
  if (value !== undefined) await writeFile(path, typeof value === "string" ? value : JSON.stringify(value));
}

async function aStorage(lists: Lists): Promise<AsyncDisposable & { readonly root: string; readonly images: string }> {
  const root = await mkdtemp(join(tmpdir(), "anax-storage-"));
  const images = join(root, "overlay-images");
  await mkdir(join(root, "overlay-containers"), { recursive: true });
  await mkdir(join(images, IMAGE), { recursive: true });
  await write(join(root, "overlay-containers", "containers.json"), lists.containers);
  await write(join(root, "overlay-containers", "volatile-containers.json"), lists.volatile);
  await write(join(images, "images.json"), lists.images);
  for (const [name, value] of Object.entries(lists.parts ?? { manifest: manifestOf(LAYER) })) await write(join(images, IMAGE, name), value);
  return { root, images, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) };
}

async function lookIn(lists: Lists) {
  await using storage = await aStorage(lists);
  const look = await new ContainerStorageSource(storage.root).look();
  assert.equal(look.kind, "seen");
  const digests = look.uses.map(({ content }) => (typeof content === "object" && "digest" in content ? content.digest : ""));
  return { ...look, digests: digests.toSorted(), by: [...new Set(look.uses.map(({ by }) => by))] };
}

const container = { id: CONTAINER, names: ["web"], image: IMAGE };

test("a container keeps its image's manifest, configuration and layers, and not the images that nobody has", async () => {
  const { digests, by, withoutLayers } = await lookIn({ containers: [container], images: IMAGES });
  assert.deepEqual(digests, [`sha256:${IMAGE}`, MANIFEST, LAYER].toSorted());
  assert.deepEqual(by, ["web (app:1)"]);
  assert.deepEqual(withoutLayers, []);
});

test("one that does not outlive the machine's restart counts, and a manifest by its digest too", async () => {
  const name = `=${Buffer.from(`manifest-${MANIFEST}`).toString("base64")}`;
  const { digests } = await lookIn({ containers: "null", volatile: [container], images: IMAGES, parts: { [name]: manifestOf(LAYER) } });
  assert.ok(digests.includes(LAYER));
});

test("no containers, and lists that are not there, are nothing in use", async () => {
  for (const lists of [{}, { containers: [], images: IMAGES }, { containers: "null" }, { containers: "" }])
    assert.deepEqual((await lookIn(lists)).digests, []);
});

test("a container whose image is gone, or without its manifest, says so", async () => {
  for (const lists of [{ images: [] }, { images: IMAGES, parts: {} }, { images: IMAGES, parts: { manifest: "no manifest" } }])
    assert.equal((await lookIn({ containers: [container], ...lists })).withoutLayers.length, 1);
});

test("one without an image has a root file system of its own", async () => {
  const { digests, withoutLayers } = await lookIn({ containers: [{ id: CONTAINER, image: "" }], images: IMAGES });
  assert.deepEqual([digests, withoutLayers], [[], []]);
});

const HOSTILE: readonly [title: string, lists: Lists][] = [
  ["no JSON", { containers: "[{" }],
  ["no list", { containers: { length: 5 } }],
  ["a path for a container", { containers: [{ ...container, id: "../../etc" }] }],
  ["a path for an image", { containers: [{ ...container, image: "../x" }], images: [{ ...IMAGES[0], id: "../x" }] }],
  ["more containers than a machine has", { containers: Array.from({ length: 10_001 }, () => container) }],
];
for (const [title, lists] of HOSTILE) test(`a list of containers with ${title} cannot be read`, () => assert.rejects(lookIn(lists)));

test("a list longer than any is not read into memory", async () => {
  await using storage = await aStorage({ containers: [container], images: IMAGES });
  await truncate(join(storage.images, "images.json"), 1e9);
  await assert.rejects(new ContainerStorageSource(storage.root).look(), { code: "disk.corrupt" });
});

test("a storage that is not there has no containers", async () => {
  assert.deepEqual(await new ContainerStorageSource("/nowhere/at/all").look(), { kind: "absent" });
});
