import { createHash, randomBytes } from "node:crypto";
import { open } from "node:fs/promises";

const BLOCK_BYTES = 1024 ** 2;

/** Writes a new file of random bytes; gives its sha256. */
export async function writeRandomFile(path: string, bytes: number): Promise<string> {
  const hash = createHash("sha256");
  await using file = await open(path, "w");
  for (let left = bytes; left > 0;) {
    const block = randomBytes(Math.min(left, BLOCK_BYTES));
    hash.update(block);
    await file.write(block);
    left -= block.length;
  }
  return hash.digest("hex");
}
