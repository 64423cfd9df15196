import { plainMemory, type MakeMemory } from "../../disk/huge-pages.ts";

/** Records lie at multiples of this, so that 32 bits address 32 GiB. */
export const UNIT_BYTES = 8;

/** Where a record lies, in units; 0: nowhere. */
export type Address = number;

const SEGMENT_BITS = 22;
const SEGMENT_BYTES = 1 << SEGMENT_BITS;
const UNIT_BITS = SEGMENT_BITS - 3;
const UNIT_MASK = (1 << UNIT_BITS) - 1;
/** Up to here every multiple of a unit is a size of its own. */
const EXACT_UNITS = 16;
/** Above, each power of two is divided into so many sizes: at most an eighth is lost. */
const STEPS = 8;

/**
 * Memory for many small records that the garbage collector never looks at: segments of 4 MiB, cut into records of fixed sizes. What is freed is used for the
 * next record of its size; the chain of free records lies in the records themselves.
 */
export class Arena {
  readonly bytes: Buffer[] = [];
  readonly words: Uint32Array[] = [];
  /** The next unit never used; 0 would mean nowhere. */
  #top = 1;
  readonly #free: Address[] = [];
  #usedBytes = 0;
  readonly #makeMemory: MakeMemory;

  constructor(makeMemory: MakeMemory = plainMemory) {
    this.#makeMemory = makeMemory;
  }

  /** Of records in use, by their sizes. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  get allocatedBytes(): number {
    return this.bytes.length * SEGMENT_BYTES;
  }

  /** A record of at least so many bytes, at most half a segment, as what is larger belongs in a buffer of its own; what is in it is undefined. */
  allocate(size: number): Address {
    const index = sizeIndexOf(size);
    const units = unitsOf(index);
    this.#usedBytes += units * UNIT_BYTES;
    const free = this.#free[index] ?? 0;
    if (free !== 0) {
      this.#free[index] = this.words[segmentOf(free)]![wordOf(free)]!;
      return free;
    }
    if ((this.#top & UNIT_MASK) + units > UNIT_MASK + 1) this.#top = this.bytes.length << UNIT_BITS;
    if (this.#top >>> UNIT_BITS === this.bytes.length) this.#addSegment();
    const address = this.#top;
    this.#top += units;
    return address;
  }

  /** `size`: what was asked for. */
  free(address: Address, size: number): void {
    const index = sizeIndexOf(size);
    this.#usedBytes -= unitsOf(index) * UNIT_BYTES;
    while (this.#free.length <= index) this.#free.push(0);
    this.words[segmentOf(address)]![wordOf(address)] = this.#free[index]!;
    this.#free[index] = address;
  }

  /** Nothing is in use any more. */
  clear(): void {
    this.bytes.length = 0;
    this.words.length = 0;
    this.#free.length = 0;
    this.#top = 1;
    this.#usedBytes = 0;
  }

  #addSegment(): void {
    const memory = this.#makeMemory(SEGMENT_BYTES);
    this.bytes.push(memory);
    this.words.push(new Uint32Array(memory.buffer, memory.byteOffset, SEGMENT_BYTES / 4));
  }
}

/** Whether two sizes take the same record, so that one may follow the other in place. */
export const sameRecord = (a: number, b: number): boolean => sizeIndexOf(a) === sizeIndexOf(b);

export const segmentOf = (address: Address): number => address >>> UNIT_BITS;
/** Index of the record's first word in its segment. */
export const wordOf = (address: Address): number => (address & UNIT_MASK) << 1;
/** Offset of the record's first byte in its segment. */
export const byteOf = (address: Address): number => (address & UNIT_MASK) << 3;

/** Bytes that a record for `size` bytes really takes. */
export const recordBytesOf = (size: number): number => unitsOf(sizeIndexOf(size)) * UNIT_BYTES;

function sizeIndexOf(size: number): number {
  const units = (size + UNIT_BYTES - 1) >>> 3;
  if (units <= EXACT_UNITS) return units;
  const power = 31 - Math.clz32(units - 1); // of 2, below the size
  const step = ((units - 1) >>> (power - 3)) & (STEPS - 1);
  return EXACT_UNITS + 1 + (power - 4) * STEPS + step;
}

function unitsOf(index: number): number {
  if (index <= EXACT_UNITS) return index;
  const above = index - EXACT_UNITS - 1;
  const power = 4 + ((above / STEPS) | 0);
  return (1 << power) + (((above % STEPS) + 1) << (power - 3));
}
