import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Blob } from "../meta/extents.ts";
import { objectNameOf } from "./blob-store.ts";
import { LocalBlobs } from "./local-blobs.ts";

const content = Buffer.from("what a blob holds");
const blob: Blob = { id: 5000, sha256: createHash("sha256").update(content).digest("hex"), bytes: content.length };

async function inDirectory(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "anax-blobs-"));
  try {
    await run(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

test("a blob is read back, also by who did not write it", () =>
  inDirectory(async (dir) => {
    await using writer = new LocalBlobs(dir);
    writer.put(blob, [content.subarray(0, 4), content.subarray(4)]);
    writer.sync([blob]);
    for (const store of [writer, new LocalBlobs(dir)]) {
      const into = Buffer.alloc(6);
      store.read(blob, 7, into);
      assert.equal(into.toString(), "blob h");
      await store[Symbol.asyncDispose]();
    }
  }));

test("a blob that is damaged, cut or missing is never read", () =>
  inDirectory(async (dir) => {
    const path = join(dir, "1", objectNameOf(blob));
    const read = (): void => new LocalBlobs(dir).read(blob, 0, Buffer.alloc(1));
    assert.throws(read, { code: "piece.not-found" });
    await mkdir(join(dir, "1"));
    await writeFile(path, content);
    await truncate(path, 5);
    assert.throws(read, { code: "disk.corrupt" });
    await writeFile(path, `${content.toString()}!`);
    assert.throws(read, { code: "disk.corrupt" });
    await writeFile(path, Buffer.from(content).fill("x", 3, 4));
    assert.throws(read, { code: "disk.corrupt" });
  }));

test("the list tells our blobs from what is not ours, and what is moved aside is gone from it", () =>
  inDirectory(async (dir) => {
    await using store = new LocalBlobs(dir);
    store.put(blob, [content]);
    await writeFile(join(dir, "1", "stranger"), "x");
    await mkdir(join(dir, "7"));
    await writeFile(join(dir, "7", objectNameOf(blob)), content); // in a place where nobody looks for it
    const listed = async (): Promise<readonly unknown[]> => {
      const found: (readonly [string, number | undefined])[] = [];
      for await (const { key, blobId } of store.list()) found.push([key, blobId]);
      return found.toSorted(([a], [b]) => a.localeCompare(b));
    };
    assert.deepEqual(await listed(), [
      [`1/${objectNameOf(blob)}`, 5000],
      ["1/stranger", undefined],
      [`7/${objectNameOf(blob)}`, undefined],
    ]);
    await store.quarantine("1/stranger");
    await store.remove(blob);
    await store.remove(blob);
    assert.deepEqual(await listed(), [[`7/${objectNameOf(blob)}`, undefined]]);
  }));
