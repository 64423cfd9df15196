import { randomInt } from "node:crypto";
import { HASHES_MAX, type Request } from "../../wire/resp/request.ts";

/** A secret of this process: without it nobody can choose keys that all fall into one bucket. */
const KEY0 = randomInt(2 ** 32) | 0;
const KEY1 = randomInt(2 ** 32) | 0;

/** 32 bits of a key, as a signed number, which V8 keeps without a place in memory: HalfSipHash-1-3 (https://github.com/veorq/SipHash: the variant of SipHash for 32-bit words). */
export function hashOf(bytes: Uint8Array, from: number, length: number): number {
  let v0 = KEY0;
  let v1 = KEY1;
  let v2 = 0x6c796765 ^ KEY0;
  let v3 = 0x74656462 ^ KEY1;
  const whole = from + (length & ~3);
  const end = from + length;
  // The last word is what is left and the length; after it come three rounds more.
  for (let at = from, rest = 4; rest > 0;) {
    let word = 0;
    if (at < whole) {
      word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      at += 4;
    } else if (rest-- === 4) {
      word = length << 24;
      for (let i = at, shift = 0; i < end; i++, shift += 8) word |= bytes[i]! << shift;
    } else if (rest === 2) v2 ^= 0xff;
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return v1 ^ v3;
}

/** What is longer may be something else than a name, and is hashed when it is looked for. */
const REMEMBERED_BYTES_MAX = 128;

/** Hashes an argument, so that `hashAt` will be quick; not where it is long or not there. `index` below `HASHES_MAX`. */
function rememberHash(request: Request, index: number): void {
  const length = index < request.count ? request.lengths[index]! : Infinity;
  if (length > REMEMBERED_BYTES_MAX) return;
  request.hashes[index] = hashOf(request.bytes, request.offsets[index]!, length);
  request.hashed |= 1 << index;
}

/** The same for each of several requests, whose arguments are often the same one. */
export function rememberHashes(requests: readonly Request[], count: number, index: number): void {
  for (let i = 0; i < count; i++) {
    const request = requests[i]!;
    const before = i === 0 ? undefined : requests[i - 1]!;
    if (before !== undefined && (before.hashed & (1 << index)) !== 0 && sameArgument(before, request, index)) {
      request.hashes[index] = before.hashes[index]!;
      request.hashed |= 1 << index;
    } else rememberHash(request, index);
  }
}

function sameArgument(a: Request, b: Request, index: number): boolean {
  const length = a.lengths[index]!;
  if (index >= b.count || b.lengths[index] !== length) return false;
  const from = a.offsets[index]!;
  const to = b.offsets[index]!;
  // Names are alike at their starts.
  for (let i = length - 1; i >= 0; i--) if (a.bytes[from + i] !== b.bytes[to + i]) return false;
  return true;
}

/** The hash of an argument. */
export const hashAt = (request: Request, index: number): number =>
  index < HASHES_MAX && (request.hashed & (1 << index)) !== 0
    ? request.hashes[index]!
    : hashOf(request.bytes, request.offsets[index]!, request.lengths[index]!);
