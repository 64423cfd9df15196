import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { blobStoreConformance } from "./blob-store.conformance.ts";
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
