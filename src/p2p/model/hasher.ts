import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Digest } from "./piece.ts";

/** The digest of what passes by, without the algorithm's name. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** To be asked once. */
  value(): string;
}

export function hasherOf(algorithm: Digest["algorithm"]): Hasher {
  if (algorithm === "crc32") {
    let sum = 0;
    return { update: (bytes) => void (sum = crc32(bytes, sum)), value: () => String(sum) };
  }
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), value: () => hash.digest("hex") };
}
