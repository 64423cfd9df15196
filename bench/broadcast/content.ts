import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Content } from "./drivers/driver.ts";

const BLOCK_BYTES = 1024 ** 2;

/** Random bytes in memory, alone in a directory that an origin may serve. */
export async function createContent(bytes: number, scope: AsyncDisposableStack): Promise<Content> {
  const directory = await mkdtemp("/dev/shm/anax-broadcast-content-");
  scope.defer(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "content");
  const hash = createHash("sha256");
  await using file = await open(path, "w");
  for (let left = bytes; left > 0;) {
    const block = randomBytes(Math.min(left, BLOCK_BYTES));
    hash.update(block);
    await file.write(block);
    left -= block.length;
  }
  return { path, bytes, sha256: hash.digest("hex") };
}
