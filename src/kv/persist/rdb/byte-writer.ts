import { latin1Of, writeLatin1 } from "../../../base/latin1.ts";
import { copyInto } from "../../../wire/resp/reply-writer.ts";
import { lzfCompressed } from "./lzf.ts";

const FIRST_BYTES = 4096;
/** Shorter ones are not worth compressing: Redis' bound. */
const COMPRESSED_MIN = 21;
const INTEGER_CHARS_MAX = 11;
const INTEGER = /^(?:0|-?[1-9]\d{0,9})$/;
const INT32_MAX = 2 ** 31 - 1;
/** Kinds of strings that are no plain bytes. */
const INT8 = 0xc0;
const INT16 = 0xc1;
const INT32 = 0xc2;
const LZF = 0xc3;

/** Bytes of an RDB, one after the other, until they are taken. */
export class ByteWriter {
  readonly #compresses: boolean;
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  constructor(compresses: boolean) {
    this.#compresses = compresses;
  }

  get length(): number {
    return this.#length;
  }

  /** What was written, valid until something is written again. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What was written, as a buffer that is the caller's; `next` is written to from then on. */
  take(next: Buffer = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, Math.min(this.#bytes.length, 256 * 1024)))): Buffer {
    const taken = this.view();
    this.#bytes = next;
    this.#length = 0;
    return taken;
  }

  /** What was written is not needed any more. */
  clear(): void {
    this.#length = 0;
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** What lies between two places of a buffer, without a view of it. */
  rawPart(source: Uint8Array, from: number, end: number): void {
    const count = end - from;
    this.#room(count);
    copyInto(this.#bytes, this.#length, source, from, count);
    this.#length += count;
  }

  /** Latin-1 text without its length. */
  rawText(text: string): void {
    this.#room(text.length);
    this.#length += writeLatin1(this.#bytes, text, this.#length);
  }

  /** A length in its shortest form; up to 64 bits. */
  count(value: number): void {
    this.#room(9);
    const bytes = this.#bytes;
    let at = this.#length;
    if (value < 64) bytes[at++] = value;
    else if (value < 16_384) {
      bytes[at++] = 0x40 | (value >> 8);
      bytes[at++] = value & 0xff;
    } else if (value < 2 ** 32) {
      bytes[at++] = 0x80;
      at = bytes.writeUInt32BE(value, at);
    } else return this.bigCount(BigInt(value));
    this.#length = at;
  }

  /** The same of any 64 bits. */
  bigCount(value: bigint): void {
    if (value < 2n ** 32n) return this.count(Number(value));
    this.#room(9);
    this.#bytes[this.#length++] = 0x81;
    this.#length = this.#bytes.writeBigUInt64BE(value, this.#length);
  }

  /** Eight bytes, the lowest first. */
  int64(value: number): void {
    this.#room(8);
    this.#length = this.#bytes.writeBigInt64LE(BigInt(Math.trunc(value)), this.#length);
  }

  int32(value: number): void {
    this.#room(4);
    this.#length = this.#bytes.writeInt32LE(value | 0, this.#length);
  }

  double(value: number): void {
    this.#room(8);
    this.#length = this.#bytes.writeDoubleLE(value, this.#length);
  }

  /** 128 bits, the highest first: the id of a stream's entry. */
  id(value: bigint): void {
    this.#room(16);
    this.#length = this.#bytes.writeBigUInt64BE(value >> 64n, this.#length);
    this.#length = this.#bytes.writeBigUInt64BE(value & 0xffff_ffff_ffff_ffffn, this.#length);
  }

  /** A string in its shortest form: an integer, compressed, or as it is. */
  text(text: string): void {
    if (text.length <= INTEGER_CHARS_MAX && INTEGER.test(text) && this.#integer(Number(text))) return;
    if (this.#compresses && text.length >= COMPRESSED_MIN) {
      const bytes = Buffer.allocUnsafe(text.length);
      writeLatin1(bytes, text);
      return this.#plainOrCompressed(bytes);
    }
    this.count(text.length);
    this.rawText(text);
  }

  string(bytes: Buffer): void {
    if (bytes.length <= INTEGER_CHARS_MAX) this.text(latin1Of(bytes));
    else this.#plainOrCompressed(bytes);
  }

  /** Bytes that are a structure in themselves: compressed if that helps. */
  blob(bytes: Uint8Array): void {
    this.#plainOrCompressed(bytes);
  }

  #plainOrCompressed(bytes: Uint8Array): void {
    const packed = this.#compresses && bytes.length >= COMPRESSED_MIN ? lzfCompressed(bytes) : undefined;
    if (packed !== undefined) {
      this.byte(LZF);
      this.count(packed.length);
    }
    this.count(bytes.length);
    this.raw(packed ?? bytes);
  }

  #integer(value: number): boolean {
    if (value < -INT32_MAX - 1 || value > INT32_MAX) return false;
    this.#room(5);
    const bytes = this.#bytes;
    let at = this.#length;
    if (value >= -128 && value < 128) {
      bytes[at++] = INT8;
      at = bytes.writeInt8(value, at);
    } else if (value >= -32_768 && value < 32_768) {
      bytes[at++] = INT16;
      at = bytes.writeInt16LE(value, at);
    } else {
      bytes[at++] = INT32;
      at = bytes.writeInt32LE(value, at);
    }
    this.#length = at;
    return true;
  }

  #room(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, this.#length + count));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
