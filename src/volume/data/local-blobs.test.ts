import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { loadStreamedWrites } from "../../disk/streamed-writes.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { aBlob, blobStoreConformance } from "./blob-store.conformance.ts";
import { LocalBlobs } from "./local-blobs.ts";

blobStoreConformance("a directory", async () => {
  const dir = await temporaryDirectory();
  return {
    open: async () => new LocalBlobs(dir.path),
    async plant(key, content) {
      await mkdir(dirname(join(dir.path, key)), { recursive: true });
      await writeFile(join(dir.path, key), content);
    },
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
});

test("many large blobs that were passed on to the disk are read back, also by who did not write them", async () => {
  await using dir = await temporaryDirectory();
  await using writer = new LocalBlobs(dir.path, { streamed: await loadStreamedWrites() });
  const written = Array.from({ length: 12 }, (_, index) => {
    const bytes = Buffer.alloc(1 << 20, index + 1);
    const blob = aBlob(100 + index, bytes);
    writer.put(blob, [bytes]);
    return { blob, bytes };
  });
  writer.sync(written.map(({ blob }) => blob));
  await using other = new LocalBlobs(dir.path);
  for (const store of [writer, other])
    for (const { blob, bytes } of written) {
      const into = Buffer.alloc(blob.bytes);
      store.read(blob, 0, into);
      assert.ok(into.equals(bytes));
    }
});
