import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

/** Checksums of objects, by the names that S3 has for them in elements: `x-amz-checksum-` and the name in lower case is the header. */
export const CHECKSUM_NAMES = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] as const;
export type ChecksumName = (typeof CHECKSUM_NAMES)[number];

export const checksumHeaderOf = (name: ChecksumName): string => `x-amz-checksum-${name.toLowerCase()}`;

export const checksumNameOf = (text: string): ChecksumName | undefined => CHECKSUM_NAMES.find((name) => name === text.toUpperCase());

/** Sees content go by. */
export interface Digest {
  update(bytes: Uint8Array): void;
  /** Once, at the end. */
  digest(): Buffer;
}

export function createChecksum(name: ChecksumName): Digest {
  switch (name) {
    case "CRC32":
      return crcDigest(4, (bytes, value) => [crc32(bytes, value[0])], [0]);
    case "CRC32C":
      return crcDigest(4, (bytes, value) => [crc32c(bytes, value[0]!)], [0]); // it has one
    case "CRC64NVME":
      return crcDigest(8, crc64nvme, [0, 0]);
    case "SHA1":
    case "SHA256":
      return createHash(name.toLowerCase());
  }
}

/** 32-bit words, the high one first. */
type Words = readonly number[];

function crcDigest(bytes: number, next: (bytes: Uint8Array, value: Words) => Words, start: Words): Digest {
  let value = start;
  return {
    update: (more) => {
      value = next(more, value);
    },
    digest: () => {
      const result = Buffer.alloc(bytes);
      value.forEach((word, index) => result.writeUInt32BE(word >>> 0, index * 4));
      return result;
    },
  };
}

/** Bytes that tables look at together. */
const SLICE = 8;

let tables32: Uint32Array | undefined;

/** Castagnoli's polynomial, reflected (RFC 3720 §12.1). Takes and answers the finished value, as `crc32` of zlib. */
function crc32c(bytes: Uint8Array, before: number): number {
  const t = (tables32 ??= castagnoliTables());
  let crc = ~before;
  let at = 0;
  for (const end = bytes.length - SLICE; at <= end; at += SLICE) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)); // below the length
    crc =
      t[1792 + (low & 255)]! ^
      t[1536 + ((low >>> 8) & 255)]! ^
      t[1280 + ((low >>> 16) & 255)]! ^
      t[1024 + (low >>> 24)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 255]!;
  return ~crc >>> 0;
}

function castagnoliTables(): Uint32Array {
  const tables = new Uint32Array(SLICE * 256);
  for (let index = 0; index < 256; index++) {
    let crc = index;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    tables[index] = crc;
  }
  for (let at = 256; at < tables.length; at++) tables[at] = (tables[at - 256]! >>> 8) ^ tables[tables[at - 256]! & 255]!;
  return tables;
}

interface Tables64 {
  readonly high: Uint32Array;
  readonly low: Uint32Array;
}
let tables64: Tables64 | undefined;

/** Polynomial of NVM Express 1.4 (CRC-64/NVME: reflected 0x9a6c9329ac4bc9b5), as two halves, since JavaScript has no quick 64-bit numbers. */
function crc64nvme(bytes: Uint8Array, [beforeHigh = 0, beforeLow = 0]: Words): Words {
  const { high: h, low: l } = (tables64 ??= nvmeTables());
  let [high, low] = [~beforeHigh, ~beforeLow];
  let at = 0;
  for (const end = bytes.length - SLICE; at <= end; at += SLICE) {
    low ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24); // below the length
    high ^= bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24);
    const [a, b, c, d] = [1792 + (low & 255), 1536 + ((low >>> 8) & 255), 1280 + ((low >>> 16) & 255), 1024 + (low >>> 24)];
    const [e, f, g, i] = [768 + (high & 255), 512 + ((high >>> 8) & 255), 256 + ((high >>> 16) & 255), high >>> 24];
    high = h[a]! ^ h[b]! ^ h[c]! ^ h[d]! ^ h[e]! ^ h[f]! ^ h[g]! ^ h[i]!;
    low = l[a]! ^ l[b]! ^ l[c]! ^ l[d]! ^ l[e]! ^ l[f]! ^ l[g]! ^ l[i]!;
  }
  for (; at < bytes.length; at++) {
    const index = (low ^ bytes[at]!) & 255;
    low = ((low >>> 8) | (high << 24)) ^ l[index]!;
    high = (high >>> 8) ^ h[index]!;
  }
  return [~high >>> 0, ~low >>> 0];
}

function nvmeTables(): Tables64 {
  const [high, low] = [new Uint32Array(SLICE * 256), new Uint32Array(SLICE * 256)];
  for (let index = 0; index < 256; index++) {
    let crc = BigInt(index);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x9a6c9329ac4bc9b5n : crc >> 1n;
    high[index] = Number(crc >> 32n);
    low[index] = Number(crc & 0xffffffffn);
  }
  for (let at = 256; at < high.length; at++) {
    const [beforeHigh, beforeLow] = [high[at - 256]!, low[at - 256]!];
    const index = beforeLow & 255;
    low[at] = ((beforeLow >>> 8) | (beforeHigh << 24)) ^ low[index]!;
    high[at] = (beforeHigh >>> 8) ^ high[index]!;
  }
  return { high, low };
}
