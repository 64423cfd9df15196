import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { aLocalVolume } from "../data/local-volume-fixture.ts";
import type { VolumeVerbs } from "../meta/verbs.ts";
import { writeMeta } from "./object-meta.ts";
import { inFolder } from "./tree.ts";
import { objectTree, walkKeys, type WalkOptions } from "./walk-keys.ts";

const FILE = { kind: "file", permissions: 0o644, uid: 0, gid: 0 } as const;

async function put(verbs: VolumeVerbs, key: string): Promise<void> {
  const names = key.split("/");
  const name = names.pop()!; // a split has one at least
  await inFolder(verbs, names, async (parent) => {
    if (name === "") await writeMeta(verbs, parent, { folder: "object" });
    else assert.ok(typeof verbs.create(parent, name, FILE) === "object", key);
    return undefined;
  });
}

async function walked(verbs: VolumeVerbs, options: Partial<WalkOptions>): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { kind, key } of walkKeys(objectTree(verbs), { prefix: "", after: "", delimiter: "", ...options }))
    found.push(kind === "key" ? key : `${key}*`);
  return found;
}

/** What S3 says of a set of keys. */
function expected(keys: readonly string[], { prefix = "", after = "", delimiter = "" }: Partial<WalkOptions>): readonly string[] {
  const found = new Set<string>();
  for (const key of keys.toSorted((a, b) => (a < b ? -1 : 1))) {
    if (!key.startsWith(prefix) || key <= after) continue;
    const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    const group = key.slice(0, at + delimiter.length);
    if (at < 0) found.add(key);
    else if (group !== after) found.add(`${group}*`);
  }
  return [...found];
}

test("keys are listed in the order of their bytes, with prefix, delimiter and where to begin, as a sorted list of them would be", async () => {
  await using volume = await aLocalVolume();
  const { verbs } = await volume.mount();
  const keys = ["a-b", "a/", "a/b/c", "a/b-c", "a/c", "a.d", "a0", "b/c/d/e", "b/c/d/f", "b/c-/x", "b/c/", "c", "é/ü", "z/ /y", "z!"].map(
    (key) => Buffer.from(key).toString("latin1"),
  );
  for (const key of keys) await put(verbs, key);
  const part = fc.oneof(
    fc.constantFrom("", "a", "a/", "a/b", "a/b/", "b/c", "b/c/", "b/c/d/", "z/", "a/b/c", "a-b", "nothing/", "a//", "b/c/d/e", "\u00c3"),
    fc.stringMatching(/^[abcz/.-]{0,4}$/),
  );
  await fc.assert(
    fc.asyncProperty(part, part, fc.constantFrom("", "/", "-", "b/", "c"), async (prefix, after, delimiter) => {
      const options = { prefix, after, delimiter };
      assert.deepEqual(await walked(verbs, options), expected(keys, options));
    }),
    { numRuns: 200 },
  );
});

test("an empty folder is a key, one with something in it is none unless it was put, and neither links nor what the gateway keeps are", async () => {
  await using volume = await aLocalVolume();
  const { verbs } = await volume.mount();
  const folder = (parent: number, name: string): number =>
    (verbs.create(parent, name, { ...FILE, kind: "directory" }) as { ino: number }).ino;
  folder(1, "empty");
  const full = folder(1, "full");
  verbs.create(full, "file", FILE);
  verbs.create(1, "link", { ...FILE, kind: "symlink", target: "full" });
  verbs.create(1, "pipe", { ...FILE, kind: "fifo" });
  verbs.create(folder(1, ".anax-s3"), "draft", FILE);
  assert.deepEqual(await walked(verbs, {}), ["empty/", "full/file"]);
  assert.deepEqual(await walked(verbs, { delimiter: "/" }), ["empty/*", "full/*"]);
  assert.deepEqual(await walked(verbs, { prefix: ".anax-s3/" }), []);
});

test("a folder with more entries than are held at once is listed whole, from anywhere", async () => {
  await using volume = await aLocalVolume();
  const { verbs } = await volume.mount();
  const names = Array.from({ length: 5000 }, (_, index) => String((index * 7919) % 5000).padStart(5, "0"));
  for (const name of names) verbs.create(1, name, FILE);
  assert.deepEqual(await walked(verbs, {}), names.toSorted());
  assert.deepEqual(await walked(verbs, { after: "04321" }), names.toSorted().slice(4322));
});
