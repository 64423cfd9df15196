import { popcount } from "../../base/popcount.ts";
import { AnaxError, invariant } from "../../base/errors.ts";
import type { ByteRange } from "./types.ts";

const MIB = 1024 * 1024;
/** Bounds of a piece's length, computed or fixed by a user. Bytes. */
export const PIECE_LENGTH_MIN = 4 * MIB;
export const PIECE_LENGTH_MAX = 64 * MIB;
/** Up to here a longer content gets longer pieces, not more of them. */
const PIECE_COUNT_AIM = 500;
/** 4 TiB in the shortest pieces; bounds what a stranger's content length makes us allocate (a bitmap of 128 KiB). */
export const PIECE_COUNT_MAX = 2 ** 20;

/** How content is cut; part of every `TaskMeta`. Bytes. */
export interface PieceLayout {
  readonly contentLength: number;
  readonly pieceLength: number;
}

/** A checksum with its algorithm: `value` is lower-case hexadecimal, for crc32 (IEEE) an unsigned decimal. */
export interface Digest {
  readonly algorithm: "sha256" | "sha512" | "crc32";
  readonly value: string;
}

/** The length of a task's pieces when no user fixed it, the same on every peer and upstream. */
export function pieceLengthOf(contentLength: number): number {
  let pieceLength = PIECE_LENGTH_MIN;
  while (pieceLength < Math.floor(contentLength / PIECE_COUNT_AIM) && pieceLength < PIECE_LENGTH_MAX) pieceLength *= 2;
  return pieceLength;
}

/** Bounds of a piece among our own peers: small ones spread sooner, and a block of them is still worth its head. Bytes. */
const OWN_PIECE_LENGTH_MIN = MIB / 4;
const OWN_PIECE_LENGTH_MAX = 32 * MIB;
const OWN_PIECE_COUNT_AIM = 512;
/** From here on pieces of 64 MiB keep their number low. */
const HUGE_BYTES = 64 * 1024 * MIB;

/**
 * The length of a task's pieces where all peers are ours: 1/512 of the content, so that the first and the last piece cost little, rounded down to a
 * power of two and kept within bounds.
 */
export function ownPieceLengthOf(contentLength: number): number {
  const max = contentLength > HUGE_BYTES ? PIECE_LENGTH_MAX : OWN_PIECE_LENGTH_MAX;
  let pieceLength = OWN_PIECE_LENGTH_MIN;
  while (pieceLength * 2 <= contentLength / OWN_PIECE_COUNT_AIM && pieceLength < max) pieceLength *= 2;
  return pieceLength;
}

/** Eight hosts that share a file need 14 % more CPU with blocks of 64 KiB, and are no sooner done. */
const BLOCK_BYTES_MIN = 128 * 1024;
const BLOCK_BYTES_MAX = MIB;
const BLOCKS_PER_PIECE = 16;

/** The bytes of a piece that are verified, and passed on, at a time; its last block may be shorter. */
export const blockBytesOf = (pieceLength: number): number =>
  Math.min(BLOCK_BYTES_MAX, Math.max(BLOCK_BYTES_MIN, Math.ceil(pieceLength / BLOCKS_PER_PIECE)));

/** Throws `input.invalid` when the layout makes no sense or has more than `PIECE_COUNT_MAX` pieces. */
export function pieceCountOf(layout: PieceLayout): number {
  const sound = isSize(layout.contentLength) && isSize(layout.pieceLength) && layout.pieceLength > 0;
  const count = sound ? Math.ceil(layout.contentLength / layout.pieceLength) : Infinity;
  if (count <= PIECE_COUNT_MAX) return count;
  throw new AnaxError("input.invalid", { reason: "no usable piece layout", ...layout });
}

/** Where piece `index` lies in the content. */
export function pieceRangeOf(layout: PieceLayout, index: number): ByteRange {
  const start = index * layout.pieceLength;
  invariant(Number.isInteger(index) && index >= 0 && start < layout.contentLength, "a piece index lies within its task");
  return { start, length: Math.min(layout.pieceLength, layout.contentLength - start) };
}

/** The pieces that hold the bytes of a range, `first` and `count`. Bytes behind the content's end are no error: they have no piece. */
export function piecesOfRange(layout: PieceLayout, range: ByteRange): { readonly first: number; readonly count: number } {
  const end = Math.min(range.start + range.length, layout.contentLength);
  const first = Math.floor(range.start / layout.pieceLength);
  return { first, count: end <= range.start ? 0 : Math.ceil(end / layout.pieceLength) - first };
}

const DIGEST_SHAPES = { sha256: /^[0-9a-f]{64}$/, sha512: /^[0-9a-f]{128}$/, crc32: /^\d{1,10}$/ } as const;

/** Reads `sha256:…`, `sha512:…` or `crc32:…`. Throws `input.invalid`. */
export function parseDigest(text: string): Digest {
  const [algorithm = "", ...rest] = text.split(":");
  const value = rest.join(":").toLowerCase();
  const sound = isAlgorithm(algorithm) && DIGEST_SHAPES[algorithm].test(value);
  if (!sound || (algorithm === "crc32" && Number(value) > 0xffff_ffff)) {
    throw new AnaxError("input.invalid", { reason: "not a sha256, sha512 or crc32 digest", digest: text.slice(0, 160) });
  }
  return { algorithm, value: algorithm === "crc32" ? String(Number(value)) : value };
}

export const formatDigest = (digest: Digest): string => `${digest.algorithm}:${digest.value}`;

/** The digest of a piece from its CRC-32, as `node:zlib` returns it. */
export const formatPieceDigest = (crc32: number): string => `crc32:${crc32 >>> 0}`;

/** Which pieces of a task are there. On disk and on the wire, piece i is bit i % 8 (from the low end) of byte i >> 3. */
export class Bitmap {
  readonly length: number;
  readonly #bytes: Uint8Array;
  #count = 0;

  constructor(length: number) {
    invariant(Number.isInteger(length) && length >= 0 && length <= PIECE_COUNT_MAX, "a bitmap has 0 to PIECE_COUNT_MAX bits");
    this.length = length;
    this.#bytes = new Uint8Array(Math.ceil(length / 8));
  }

  /** Takes over a copy of what `toBytes` returned. Throws `input.invalid` when it does not fit `length` exactly. */
  static fromBytes(bytes: Uint8Array, length: number): Bitmap {
    const bitmap = new Bitmap(length);
    const strays = length % 8 === 0 ? 0 : (bytes.at(-1) ?? 0) >> (length % 8);
    if (bytes.length !== bitmap.#bytes.length || strays !== 0) {
      throw new AnaxError("input.invalid", { reason: "a bitmap of another length", bytes: bytes.length, length });
    }
    bitmap.#bytes.set(bytes);
    for (const byte of bytes) bitmap.#count += popcount(byte);
    return bitmap;
  }

  /** How many bits are set. */
  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count === this.length;
  }

  has(index: number): boolean {
    this.#check(index);
    return (this.#bytes[index >> 3]! & (1 << (index & 7))) !== 0; // checked above
  }

  /** Sets a bit; false when it was set already. */
  set(index: number): boolean {
    if (this.has(index)) return false;
    this.#bytes[index >> 3]! |= 1 << (index & 7);
    this.#count++;
    return true;
  }

  /** The first unset bit at or behind `from`, or undefined. */
  firstMissing(from = 0): number | undefined {
    for (let index = from; index < this.length; index++) {
      if ((index & 7) === 0 && this.#bytes[index >> 3] === 0xff) index += 7;
      else if (!this.has(index)) return index;
    }
    return undefined;
  }

  toBytes(): Uint8Array {
    return this.#bytes.slice();
  }

  #check(index: number): void {
    invariant(Number.isInteger(index) && index >= 0 && index < this.length, "a bit lies within its bitmap");
  }
}

const isSize = (bytes: number): boolean => Number.isSafeInteger(bytes) && bytes >= 0;
const isAlgorithm = (text: string): text is Digest["algorithm"] => Object.hasOwn(DIGEST_SHAPES, text);
