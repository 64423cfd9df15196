/** Polynomial of Jones, reflected: 0x95ac9329ac4bc9b5. */
const POLY_LOW = 0xac4bc9b5;
const POLY_HIGH = 0x95ac9329;
/** Bytes taken with one step. */
const SLICES = 8;

interface Tables {
  readonly low: readonly Uint32Array[];
  readonly high: readonly Uint32Array[];
}

/** The checksum that ends an RDB: CRC-64 by Jones, reflected, beginning with 0 (https://github.com/redis/redis/blob/7.0/src/crc64.c tells its parameters). */
export class Crc64 {
  #low = 0;
  #high = 0;

  update(bytes: Uint8Array, from = 0, to = bytes.length): this {
    const { low, high } = TABLES;
    const [l0, l1, l2, l3, l4, l5, l6, l7] = low as Eight;
    const [h0, h1, h2, h3, h4, h5, h6, h7] = high as Eight;
    let a = this.#low;
    let b = this.#high;
    let at = from;
    for (const end = to - SLICES; at <= end; at += SLICES) {
      const x0 = (a & 0xff) ^ bytes[at]!;
      const x1 = ((a >>> 8) & 0xff) ^ bytes[at + 1]!;
      const x2 = ((a >>> 16) & 0xff) ^ bytes[at + 2]!;
      const x3 = (a >>> 24) ^ bytes[at + 3]!;
      const x4 = (b & 0xff) ^ bytes[at + 4]!;
      const x5 = ((b >>> 8) & 0xff) ^ bytes[at + 5]!;
      const x6 = ((b >>> 16) & 0xff) ^ bytes[at + 6]!;
      const x7 = (b >>> 24) ^ bytes[at + 7]!;
      a = l7[x0]! ^ l6[x1]! ^ l5[x2]! ^ l4[x3]! ^ l3[x4]! ^ l2[x5]! ^ l1[x6]! ^ l0[x7]!;
      b = h7[x0]! ^ h6[x1]! ^ h5[x2]! ^ h4[x3]! ^ h3[x4]! ^ h2[x5]! ^ h1[x6]! ^ h0[x7]!;
    }
    for (; at < to; at++) {
      const x = (a & 0xff) ^ bytes[at]!;
      a = ((a >>> 8) | (b << 24)) ^ l0[x]!;
      b = (b >>> 8) ^ h0[x]!;
    }
    this.#low = a;
    this.#high = b;
    return this;
  }

  /** Eight bytes, the lowest first. */
  writeTo(bytes: Buffer, at: number): void {
    bytes.writeInt32LE(this.#low | 0, at);
    bytes.writeInt32LE(this.#high | 0, at + 4);
  }

  equals(bytes: Buffer, at: number): boolean {
    return bytes.readInt32LE(at) === (this.#low | 0) && bytes.readInt32LE(at + 4) === (this.#high | 0);
  }
}

type Table = Uint32Array;
type Eight = readonly [Table, Table, Table, Table, Table, Table, Table, Table];

const TABLES = tables();

function tables(): Tables {
  const low = Array.from({ length: SLICES }, () => new Uint32Array(256));
  const high = Array.from({ length: SLICES }, () => new Uint32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let a = byte;
    let b = 0;
    for (let bit = 0; bit < 8; bit++) {
      const odd = a & 1;
      a = (a >>> 1) | (b << 31);
      b >>>= 1;
      if (odd === 1) {
        a ^= POLY_LOW;
        b ^= POLY_HIGH;
      }
    }
    low[0]![byte] = a;
    high[0]![byte] = b;
  }
  for (let slice = 1; slice < SLICES; slice++)
    for (let byte = 0; byte < 256; byte++) {
      const a = low[slice - 1]![byte]!;
      const b = high[slice - 1]![byte]!;
      low[slice]![byte] = ((a >>> 8) | (b << 24)) ^ low[0]![a & 0xff]!;
      high[slice]![byte] = (b >>> 8) ^ high[0]![a & 0xff]!;
    }
  return { low, high };
}
