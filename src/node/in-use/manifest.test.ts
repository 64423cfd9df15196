import assert from "node:assert/strict";
import { test } from "node:test";
import { ImageBlobsCache } from "./image-blobs.ts";
import { parseManifest } from "./manifest.ts";

const digestOf = (digit: string): string => `sha256:${digit.repeat(64)}`;
const [INDEX, AMD, ARM, CONFIG, ONE, TWO] = ["1", "2", "3", "a", "b", "c"].map(digestOf) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const bytesOf = (value: unknown): Uint8Array => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const MANIFEST = { schemaVersion: 2, config: { digest: CONFIG, size: 1 }, layers: [{ digest: ONE }, { digest: TWO }] };

const TEXTS: readonly [title: string, text: unknown, expected: ReturnType<typeof parseManifest>][] = [
  ["a manifest names its configuration and layers", MANIFEST, { blobs: [CONFIG, ONE, TWO], manifests: [] }],
  ["an index names manifests", { manifests: [{ digest: AMD, platform: {} }] }, { blobs: [], manifests: [AMD] }],
  ["of something else nothing is known", { hello: 1 }, { blobs: [], manifests: [] }],
  ["what is no JSON is no manifest", "{", undefined],
  ["nor is a list", [], undefined],
  ["nor null", null, undefined],
  ["nor one whose layers are no list", { layers: { length: 1e9 } }, undefined],
  ["nor one with a path for a digest", { layers: [{ digest: "sha256:../../etc" }] }, undefined],
  ["nor one with too many layers", { layers: Array.from({ length: 5000 }, () => ({ digest: ONE })) }, undefined],
];
for (const [title, text, expected] of TEXTS) test(title, () => assert.deepEqual(parseManifest(bytesOf(text)), expected));

/** A store of manifests that counts how often it is read. */
function aStore(manifests: Readonly<Record<string, unknown>>) {
  const asked: string[] = [];
  const read = async (digest: string): Promise<Uint8Array | undefined> => {
    asked.push(digest);
    return manifests[digest] === undefined ? undefined : bytesOf(manifests[digest]);
  };
  return { read, asked };
}

test("an image is its index, those of its manifests that are here, and what they name", async () => {
  const { read, asked } = aStore({ [INDEX]: { manifests: [{ digest: AMD }, { digest: ARM }] }, [AMD]: MANIFEST });
  const cache = new ImageBlobsCache();
  const image = await cache.of(INDEX, read);
  assert.deepEqual([...image.digests], [INDEX, AMD, CONFIG, ONE, TWO], "the other platform was never pulled");
  assert.equal(image.complete, true);
  assert.equal(await cache.of(INDEX, read), image);
  assert.deepEqual(asked, [INDEX, AMD, ARM], "a digest never comes to mean something else");
});

test("an image of which nothing is here yet is looked for again", async () => {
  const cache = new ImageBlobsCache();
  const before = await cache.of(AMD, aStore({}).read);
  assert.deepEqual([[...before.digests], before.complete], [[AMD], false]);
  assert.equal((await cache.of(AMD, aStore({ [AMD]: MANIFEST }).read)).complete, true);
});

test("an index that names itself, or without an end, is left after some manifests", async () => {
  const itself = aStore({ [INDEX]: { manifests: [{ digest: INDEX }, { digest: INDEX }] } });
  assert.equal((await new ImageBlobsCache().of(INDEX, itself.read)).complete, false);
  assert.ok(itself.asked.length <= 64, `${itself.asked.length} were read`);
});
