import { latin1Of, writeLatin1 } from "../../../base/latin1.ts";
import { safeIntegerOf } from "../../types/integers.ts";
import { RdbError } from "./rdb-error.ts";

const HEADER_BYTES = 6;
const END = 0xff;
const COUNT_UNKNOWN = 0xffff;

/** Texts one after the other in one piece of memory, integers in fewer bytes (https://github.com/antirez/listpack/blob/master/listpack.md). */
export class ListpackWriter {
  #bytes = Buffer.allocUnsafeSlow(1024);
  #length = HEADER_BYTES;
  #count = 0;

  get bytes(): number {
    return this.#length + 1;
  }

  get count(): number {
    return this.#count;
  }

  text(text: string): void {
    const value = safeIntegerOf(text);
    if (Number.isNaN(value)) this.#string(text);
    else this.integer(value);
  }

  /** Up to 53 bits. */
  integer(value: number): void {
    const from = this.#begin(9);
    const bytes = this.#bytes;
    let at = from;
    if (value >= 0 && value < 128) bytes[at++] = value;
    else if (value >= -4096 && value < 4096) {
      bytes[at++] = 0xc0 | ((value >> 8) & 0x1f);
      bytes[at++] = value & 0xff;
    } else if (value >= -32_768 && value < 32_768) {
      bytes[at++] = 0xf1;
      at = bytes.writeInt16LE(value, at);
    } else if (value >= -(2 ** 23) && value < 2 ** 23) {
      bytes[at++] = 0xf2;
      at = bytes.writeIntLE(value, at, 3);
    } else if (value >= -(2 ** 31) && value < 2 ** 31) {
      bytes[at++] = 0xf3;
      at = bytes.writeInt32LE(value, at);
    } else {
      bytes[at++] = 0xf4;
      at = bytes.writeBigInt64LE(BigInt(value), at);
    }
    this.#end(from, at);
  }

  #string(text: string): void {
    const { length } = text;
    const from = this.#begin(length + 5);
    const bytes = this.#bytes;
    let at = from;
    if (length < 64) bytes[at++] = 0x80 | length;
    else if (length < 4096) {
      bytes[at++] = 0xe0 | (length >> 8);
      bytes[at++] = length & 0xff;
    } else {
      bytes[at++] = 0xf0;
      at = bytes.writeUInt32LE(length, at);
    }
    at += writeLatin1(bytes, text, at);
    this.#end(from, at);
  }

  /** The whole, valid until something is written again; empty for the next one afterwards. */
  finish(): Buffer {
    const bytes = this.#bytes;
    bytes[this.#length++] = END;
    bytes.writeUInt32LE(this.#length, 0);
    bytes.writeUInt16LE(Math.min(this.#count, COUNT_UNKNOWN), 4);
    const whole = bytes.subarray(0, this.#length);
    this.#length = HEADER_BYTES;
    this.#count = 0;
    return whole;
  }

  #begin(count: number): number {
    const needed = this.#length + count + 6;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, needed));
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    return this.#length;
  }

  /** Behind each entry stands how long it is, so that it can be read backwards: 7 bits a byte, the highest first, all but the first with a mark. */
  #end(from: number, to: number): void {
    const length = to - from;
    const count = backBytes(length);
    let rest = length;
    for (let i = count - 1; i >= 0; i--) {
      this.#bytes[to + i] = (rest & 127) | (i === 0 ? 0 : 128);
      rest = Math.floor(rest / 128);
    }
    this.#length = to + count;
    this.#count++;
  }
}

function backBytes(length: number): number {
  if (length < 128) return 1;
  // Redis' own bounds, one below what 7 bits a byte could hold.
  if (length < 16_383) return 2;
  if (length < 2_097_151) return 3;
  return length < 268_435_455 ? 4 : 5;
}

/** The texts of a listpack. Throws `RdbError` where anything in it points out of it. */
export function listpackTexts(bytes: Buffer): string[] {
  const { length } = bytes;
  if (length < HEADER_BYTES + 1 || bytes.readUInt32LE(0) !== length || bytes[length - 1] !== END) throw bad();
  const texts: string[] = [];
  const end = length - 1;
  let at = HEADER_BYTES;
  while (at < end) {
    const from = at;
    const first = bytes[at]!;
    const header = headerBytesOf(first);
    if (at + header > end) throw bad();
    const size = header + stringBytesOf(bytes, at, first);
    if (from + size > end) throw bad();
    texts.push(textAt(bytes, from, first, header, size));
    at += size;
    const back = backBytes(size);
    if (at + back > end || backLengthAt(bytes, at, back) !== size) throw bad();
    at += back;
  }
  const count = bytes.readUInt16LE(4);
  if (count !== COUNT_UNKNOWN && count !== texts.length) throw bad();
  return texts;
}

/** Of the encoding itself; of integers with the integer. */
function headerBytesOf(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xf0) return 2;
  const bytes = [5, 3, 4, 5, 9][first - 0xf0];
  if (bytes === undefined) throw bad();
  return bytes;
}

function stringBytesOf(bytes: Buffer, at: number, first: number): number {
  if ((first & 0xc0) === 0x80) return first & 0x3f;
  if ((first & 0xf0) === 0xe0) return ((first & 0x0f) << 8) | bytes[at + 1]!;
  return first === 0xf0 ? bytes.readUInt32LE(at + 1) : 0;
}

function textAt(bytes: Buffer, at: number, first: number, header: number, size: number): string {
  if (first < 0x80) return String(first);
  if ((first & 0xe0) === 0xc0) return String(((((first & 0x1f) << 8) | bytes[at + 1]!) << 19) >> 19);
  switch (first) {
    case 0xf1:
      return String(bytes.readInt16LE(at + 1));
    case 0xf2:
      return String(bytes.readIntLE(at + 1, 3));
    case 0xf3:
      return String(bytes.readInt32LE(at + 1));
    case 0xf4:
      return String(bytes.readBigInt64LE(at + 1));
    default:
      return latin1Of(bytes, at + header, at + size);
  }
}

function backLengthAt(bytes: Buffer, at: number, count: number): number {
  let length = 0;
  for (let i = 0; i < count; i++) {
    if (bytes[at + i]! >= 128 !== i > 0) throw bad();
    length = length * 128 + (bytes[at + i]! & 127);
  }
  return length;
}

const bad = (): RdbError => new RdbError("damaged listpack");
