import { popcount } from "../../../base/popcount.ts";

/** A plain set of piece indices in 32-bit words: what the choice of a piece joins and masks a thousand times a second. */
export class Bits {
  readonly words: Uint32Array;

  constructor(length: number) {
    this.words = new Uint32Array((length + 31) >>> 5);
  }

  has(index: number): boolean {
    return ((this.words[index >>> 5]! >>> (index & 31)) & 1) === 1; // callers pass an index within the length
  }

  set(index: number): void {
    this.words[index >>> 5]! |= 1 << (index & 31);
  }

  clear(index: number): void {
    this.words[index >>> 5]! &= ~(1 << (index & 31));
  }

  /** Takes over a bitmap as it travels: bit i % 8, from the low end, of byte i >> 3. Bytes that are missing count as unset. */
  load(bytes: Uint8Array, length: number): void {
    this.words.fill(0);
    for (let index = 0; index < length && index >> 3 < bytes.length; index++) {
      if ((bytes[index >> 3]! & (1 << (index & 7))) !== 0) this.set(index); // the loop ends with the bytes
    }
  }

  toBytes(length: number): Uint8Array {
    const bytes = new Uint8Array((length + 7) >> 3);
    for (let index = 0; index < length; index++) if (this.has(index)) bytes[index >> 3]! |= 1 << (index & 7); // within the length
    return bytes;
  }

  count(): number {
    let count = 0;
    for (const word of this.words) count += popcount(word);
    return count;
  }
}

/** Position of the lowest set bit of a word that is not 0. */
export const lowestBitOf = (word: number): number => 31 - Math.clz32(word & -word);
