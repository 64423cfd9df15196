import { createHash } from "node:crypto";

const BLOCK_BYTES = 64;

/** Bytes that a seed decides, and no two seeds share, nor two places of one. */
export function contentOf(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(length, createHash("sha512").update(String(seed)).digest());
  for (let at = 0; at + 4 <= length; at += BLOCK_BYTES) bytes.writeUInt32LE(at, at);
  return bytes;
}
