import { createHash } from "node:crypto";

/** Bytes that a seed decides, and no two seeds share. */
export function contentOf(seed: number, length: number): Buffer {
  const block = createHash("sha512").update(String(seed)).digest();
  return Buffer.alloc(length, block);
}
