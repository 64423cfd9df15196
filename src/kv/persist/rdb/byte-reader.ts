import { latin1Of } from "../../../base/latin1.ts";
import { INT64_DOUBLE_MAX } from "../../numbers.ts";
import { lzfDecompressed } from "./lzf.ts";
import { RdbEnds, RdbError } from "./rdb-error.ts";

/** No string is longer: `proto-max-bulk-len` at its default. */
const STRING_BYTES_MAX = 512 * 1024 * 1024;
const SAFE_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** Reads what a `ByteWriter` writes. Throws `RdbEnds` where the bytes end too early, `RdbError` for what cannot be; nothing is allocated for a length whose bytes are not there. */
export class ByteReader {
  readonly bytes: Buffer;
  readonly end: number;
  at: number;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  /** Where the next `count` bytes begin, which are passed over. */
  take(count: number): number {
    const { at } = this;
    if (count > this.end - at) throw new RdbEnds();
    this.at = at + count;
    return at;
  }

  byte(): number {
    return this.bytes[this.take(1)]!;
  }

  int32(): number {
    return this.bytes.readInt32LE(this.take(4));
  }

  /** A time: beyond 53 bits the nearest double, as far as 64 bits hold it. */
  int64(): number {
    return Math.min(Number(this.bytes.readBigInt64LE(this.take(8))), INT64_DOUBLE_MAX);
  }

  double(): number {
    return this.bytes.readDoubleLE(this.take(8));
  }

  id(): bigint {
    const at = this.take(16);
    return (this.bytes.readBigUInt64BE(at) << 64n) | this.bytes.readBigUInt64BE(at + 8);
  }

  raw(count: number): Buffer {
    const at = this.take(count);
    return this.bytes.subarray(at, at + count);
  }

  rawText(count: number): string {
    const at = this.take(count);
    return latin1Of(this.bytes, at, at + count);
  }

  /** A length, or any number that is not below 0. */
  count(): number {
    const value = this.bigCount();
    if (value > SAFE_MAX) throw new RdbError("impossible length");
    return Number(value);
  }

  /** How often something was done: what clients say, so any 64 bits; the nearest double. */
  tally(): number {
    return Math.min(Number(this.bigCount()), INT64_DOUBLE_MAX);
  }

  bigCount(): bigint {
    const first = this.byte();
    switch (first >> 6) {
      case 0:
        return BigInt(first);
      case 1:
        return BigInt(((first & 0x3f) << 8) | this.byte());
      default:
        if (first === 0x80) return BigInt(this.bytes.readUInt32BE(this.take(4)));
        if (first === 0x81) return this.bytes.readBigUInt64BE(this.take(8));
        throw new RdbError("unknown form of a length");
    }
  }

  text(): string {
    return this.#string((bytes) => latin1Of(bytes), String);
  }

  /** The bytes of a string; not copied where they lie here as they are. */
  string(): Buffer {
    return this.#string(
      (bytes) => bytes,
      (value) => Buffer.from(String(value)),
    );
  }

  #string<T>(ofBytes: (bytes: Buffer) => T, ofInteger: (value: number) => T): T {
    const first = this.bytes[this.take(1)]!;
    switch (first) {
      case 0xc0:
        return ofInteger(this.bytes.readInt8(this.take(1)));
      case 0xc1:
        return ofInteger(this.bytes.readInt16LE(this.take(2)));
      case 0xc2:
        return ofInteger(this.bytes.readInt32LE(this.take(4)));
      case 0xc3: {
        const packed = bounded(this.count());
        const length = bounded(this.count());
        return ofBytes(lzfDecompressed(this.raw(packed), length));
      }
      default:
        this.at--;
        return ofBytes(this.raw(bounded(this.count())));
    }
  }
}

function bounded(length: number): number {
  if (length > STRING_BYTES_MAX) throw new RdbError("string too long");
  return length;
}
