import { latin1Of } from "../../../base/latin1.ts";
import { RdbError } from "./rdb-error.ts";

const ZIPLIST_HEADER_BYTES = 10;
const END = 0xff;

/** The texts of a ziplist, which Redis had before listpacks. Throws `RdbError` where anything in it points out of it. */
export function ziplistTexts(bytes: Buffer): string[] {
  const { length } = bytes;
  if (length < ZIPLIST_HEADER_BYTES + 1 || bytes.readUInt32LE(0) !== length || bytes[length - 1] !== END) throw bad("ziplist");
  const texts: string[] = [];
  const end = length - 1;
  let at = ZIPLIST_HEADER_BYTES;
  let before = 0;
  let last = at;
  while (at < end) {
    last = at;
    const [beforeBytes, headerAt] = bytes[at]! < 254 ? [bytes[at]!, at + 1] : [at + 5 > end ? -1 : bytes.readUInt32LE(at + 1), at + 5];
    if (beforeBytes !== before || headerAt >= end) throw bad("ziplist");
    at = headerAt + ziplistEntry(bytes, headerAt, end, texts);
    if (at > end) throw bad("ziplist");
    before = at - last;
  }
  const count = bytes.readUInt16LE(8);
  if ((count !== 0xffff && count !== texts.length) || bytes.readUInt32LE(4) !== last) throw bad("ziplist");
  return texts;
}

/** Adds the text; how many bytes it took with its header. */
function ziplistEntry(bytes: Buffer, at: number, end: number, texts: string[]): number {
  const first = bytes[at]!;
  const header = first >> 6 === 1 ? 2 : first >> 6 === 2 ? 5 : 1;
  if (at + header > end) throw bad("ziplist");
  if (first < 0xc0) {
    const length = header === 1 ? first : header === 2 ? ((first & 0x3f) << 8) | bytes[at + 1]! : bytes.readUInt32BE(at + 1);
    if (at + header + length > end) throw bad("ziplist");
    texts.push(latin1Of(bytes, at + header, at + header + length));
    return header + length;
  }
  const size = ziplistIntegerBytes(first);
  if (at + 1 + size > end) throw bad("ziplist");
  if (size === 0) texts.push(String((first & 0x0f) - 1));
  else if (size === 8) texts.push(String(bytes.readBigInt64LE(at + 1)));
  else texts.push(String(bytes.readIntLE(at + 1, size)));
  return 1 + size;
}

function ziplistIntegerBytes(first: number): number {
  switch (first) {
    case 0xc0:
      return 2;
    case 0xd0:
      return 4;
    case 0xe0:
      return 8;
    case 0xf0:
      return 3;
    case 0xfe:
      return 1;
    default:
      if (first >= 0xf1 && first <= 0xfd) return 0;
      throw bad("ziplist");
  }
}

/** Fields and values in turn of a zipmap, which Redis had before 2.6. */
export function zipmapTexts(bytes: Buffer): string[] {
  const texts: string[] = [];
  let at = 1;
  const length = (): number => {
    const first = bytes[at++];
    if (first === undefined || first === END) throw bad("zipmap");
    if (first < 254) return first;
    at += 4;
    if (at > bytes.length) throw bad("zipmap");
    return bytes.readUInt32LE(at - 4);
  };
  const text = (size: number, free: number): void => {
    if (at + size + free >= bytes.length) throw bad("zipmap");
    texts.push(latin1Of(bytes, at, at + size));
    at += size + free;
  };
  if (bytes.length < 2) throw bad("zipmap");
  while (bytes[at] !== END) {
    text(length(), 0);
    const size = length();
    const free = bytes[at++];
    if (free === undefined) throw bad("zipmap");
    text(size, free);
  }
  if (at !== bytes.length - 1) throw bad("zipmap");
  return texts;
}

const INTSET_HEADER_BYTES = 8;

/** The integers of an intset, as texts. */
export function intsetTexts(bytes: Buffer): string[] {
  if (bytes.length < INTSET_HEADER_BYTES) throw bad("intset");
  const size = bytes.readUInt32LE(0);
  const count = bytes.readUInt32LE(4);
  if (![2, 4, 8].includes(size) || bytes.length !== INTSET_HEADER_BYTES + size * count) throw bad("intset");
  const texts: string[] = [];
  for (let at = INTSET_HEADER_BYTES; at < bytes.length; at += size)
    texts.push(size === 8 ? String(bytes.readBigInt64LE(at)) : String(bytes.readIntLE(at, size)));
  return texts;
}

/** An intset of integers, which must be in their order. */
export function intsetOf(texts: readonly string[]): Buffer {
  const values = texts.map(BigInt);
  const fits = (bits: bigint): boolean => values.every((value) => value >= -(2n ** (bits - 1n)) && value < 2n ** (bits - 1n));
  const size = fits(16n) ? 2 : fits(32n) ? 4 : 8;
  const bytes = Buffer.allocUnsafe(INTSET_HEADER_BYTES + size * values.length);
  bytes.writeUInt32LE(size, 0);
  bytes.writeUInt32LE(values.length, 4);
  for (const [index, value] of values.entries()) {
    const at = INTSET_HEADER_BYTES + index * size;
    if (size === 8) bytes.writeBigInt64LE(value, at);
    else bytes.writeIntLE(Number(value), at, size);
  }
  return bytes;
}

const bad = (what: string): RdbError => new RdbError(`damaged ${what}`);
