import { latin1Of } from "../../base/latin1.ts";
import { copyInto } from "../../wire/resp/reply-writer.ts";
import { hashOf, rememberHashes } from "../keyspace/hash.ts";
import type { Request } from "../../wire/resp/request.ts";

/** An entry: its position, lengths of field and value, and their bytes, filled up to a whole word. */
const HEADER_BYTES = 8;
/** What has more lies in buffers of its own, and its entry is nothing but a header. */
const ITEM_BYTES_MAX = 4096;
const LONG = 0xffff_ffff;

/** Words from the start of a short entry nearly to its end, which may lie in another cache line. */
const SECOND_LINE = 7;

/** Memory comes in such pieces; the first one grows to that size. */
const SEGMENT_BITS = 20;
const SEGMENT_BYTES = 1 << SEGMENT_BITS;
const FIRST_BYTES = 256;
const WORD_BITS = SEGMENT_BITS - 2;
const WORD_MASK = (1 << WORD_BITS) - 1;

const POSITIONS_MIN = 8;
/** Lost to replaced and removed entries: not worth a tidying below. */
const GARBAGE_MIN = 4 * 1024;
/** Of the table itself, with its arrays: what V8 keeps of each buffer besides its bytes is most of it. */
const TABLE_BYTES = 1300;
/** Of a long pair besides its bytes. */
const LONG_BYTES = 400;

interface LongPair {
  readonly field: Buffer;
  readonly value: Buffer;
}

/** Bytes of a number, and that number. */
const NUMBER_BYTES = Buffer.alloc(8);
const NUMBER = new Float64Array(NUMBER_BYTES.buffer, NUMBER_BYTES.byteOffset, 1);

/**
 * Fields with values at positions from 0 on, as bytes in a few large buffers with an open-addressing index, so that a lookup meets two places in memory and the garbage
 * collector nothing. What is added comes last, and the last takes the place of one that is removed: nothing ever moves to a higher position, and on that
 * `scanDown` relies.
 */
export class PairTable {
  #bytes: Buffer[] = [];
  #words: Uint32Array[] = [];
  /** Where the next entry goes, in words; that of an entry is its location. */
  #top = 0;
  #garbageBytes = 0;
  /** Pairs of hash and location plus one, 0: free. Twice as many slots as positions, so that the free ones keep the rows short. */
  #slots = new Uint32Array(2 * (2 * POSITIONS_MIN));
  /** By position. */
  #locations = new Uint32Array(POSITIONS_MIN);
  #size = 0;
  /** By position. */
  readonly #long = new Map<number, LongPair>();
  #longBytes = 0;
  /** Only so that what is fetched is not left out as useless. */
  #sum = 0;
  readonly #moved: ((locationOf: (before: number) => number) => void) | undefined;

  /** `moved` is told when all entries lie elsewhere. */
  constructor(moved?: (locationOf: (before: number) => number) => void) {
    this.#moved = moved;
  }

  get size(): number {
    return this.#size;
  }

  /** Memory that it takes, nearly. */
  get bytes(): number {
    const tables = TABLE_BYTES + this.#slots.byteLength + this.#locations.byteLength + this.#long.size * LONG_BYTES + this.#longBytes;
    return this.#bytes.length === 0 ? tables : tables + (this.#bytes.length - 1) * SEGMENT_BYTES + this.#bytes[0]!.length;
  }

  /** Position of a field, -1 where it is not there. */
  find(bytes: Buffer, from: number, length: number): number {
    const location = this.locate(bytes, from, length, hashOf(bytes, from, length));
    return location < 0 ? -1 : this.positionOf(location);
  }

  /** The same for latin-1 text. */
  findText(field: string): number {
    const bytes = Buffer.from(field, "latin1");
    return this.find(bytes, 0, bytes.length);
  }

  /** The entry of a field, with the hash of these bytes; -1 where it is not there. It stays where it is until `moved` says otherwise, its position may change. */
  locate(bytes: Buffer, from: number, length: number, hash: number): number {
    const slot = this.#slotOf(bytes, from, length, hash);
    return slot < 0 ? -1 : this.#slots[2 * slot + 1]! - 1;
  }

  positionOf(location: number): number {
    return this.#words[location >>> WORD_BITS]![location & WORD_MASK]!;
  }

  locationAt(position: number): number {
    return this.#locations[position]!;
  }

  /** Whether its bytes are gone with it; those of others stay readable until `moved`. */
  isLong(location: number): boolean {
    return this.#lengthsAt(location) === LONG;
  }

  /** Below 0: the field comes before these bytes; 0: it is them. */
  compare(location: number, bytes: Buffer, from: number, length: number): number {
    const lengths = this.#lengthsAt(location);
    if (lengths === LONG) return this.#longOf(location).field.compare(bytes, from, from + length);
    const segment = this.#bytes[location >>> WORD_BITS]!;
    const at = byteOf(location) + HEADER_BYTES;
    const own = lengths & 0xffff;
    const common = own < length ? own : length;
    for (let i = 0; i < common; i++) {
      const order = segment[at + i]! - bytes[from + i]!;
      if (order !== 0) return order;
    }
    return own - length;
  }

  /** Calls with where the field lies. */
  withField<T>(location: number, use: (bytes: Buffer, from: number, length: number) => T): T {
    const lengths = this.#lengthsAt(location);
    if (lengths !== LONG) return use(this.#bytes[location >>> WORD_BITS]!, byteOf(location) + HEADER_BYTES, lengths & 0xffff);
    const { field } = this.#longOf(location);
    return use(field, 0, field.length);
  }

  fieldAt(position: number): string {
    return this.withField(this.#locations[position]!, (bytes, from, length) => latin1Of(bytes, from, from + length));
  }

  /** A value that `addNumber` has put there. */
  numberAt(location: number): number {
    const lengths = this.#lengthsAt(location);
    const value = lengths === LONG ? this.#longOf(location).value : this.#bytes[location >>> WORD_BITS]!;
    const from = lengths === LONG ? 0 : byteOf(location) + HEADER_BYTES + (lengths & 0xffff);
    for (let i = 0; i < 8; i++) NUMBER_BYTES[i] = value[from + i]!;
    return NUMBER[0]!;
  }

  setNumber(location: number, number: number): void {
    NUMBER[0] = number;
    const lengths = this.#lengthsAt(location);
    const value = lengths === LONG ? this.#longOf(location).value : this.#bytes[location >>> WORD_BITS]!;
    const from = lengths === LONG ? 0 : byteOf(location) + HEADER_BYTES + (lengths & 0xffff);
    for (let i = 0; i < 8; i++) value[from + i] = NUMBER_BYTES[i]!;
  }

  /** Adds a field that is not there, with its hash and a number as its value; gives the entry. */
  addNumber(bytes: Buffer, from: number, length: number, hash: number, number: number): number {
    NUMBER[0] = number;
    return this.#add(hash, bytes, from, length, NUMBER_BYTES, 0, NUMBER_BYTES.length);
  }

  #longOf(location: number): LongPair {
    return this.#long.get(this.positionOf(location))!; // such an entry has one
  }

  valueAt(position: number): string {
    const location = this.#locations[position]!;
    const lengths = this.#lengthsAt(location);
    if (lengths === LONG) return latin1Of(this.#longOf(location).value);
    const from = byteOf(location) + HEADER_BYTES + (lengths & 0xffff);
    return latin1Of(this.#bytes[location >>> WORD_BITS]!, from, from + (lengths >>> 16));
  }

  /** Looks at what `set` and `find` will meet where these arguments are looked for as fields, as `Dictionary.fetch` does. */
  fetch(requests: readonly Request[], count: number, field: number): void {
    const slots = this.#slots;
    const mask = (slots.length >>> 1) - 1;
    let sum = this.#sum;
    rememberHashes(requests, count, field);
    for (let i = 0; i < count; i++) sum ^= slots[2 * (requests[i]!.hashes[field]! & mask)]!;
    for (let i = 0; i < count; i++) {
      const hash = requests[i]!.hashes[field]!;
      let slot = hash & mask;
      while (slots[2 * slot + 1] !== 0 && (slots[2 * slot]! | 0) !== hash) slot = (slot + 1) & mask;
      const location = slots[2 * slot + 1]! - 1;
      if (location >= 0) sum ^= this.#lengthsAt(location) ^ this.#words[location >>> WORD_BITS]![(location + SECOND_LINE) & WORD_MASK]!;
    }
    this.#sum = sum;
  }

  /** True where the field, the first `length` bytes from `from` on with this hash, is new. */
  set(hash: number, bytes: Buffer, from: number, length: number, value: Buffer, valueFrom: number, valueLength: number): boolean {
    const slot = this.#slotOf(bytes, from, length, hash);
    if (slot < 0) this.#add(hash, bytes, from, length, value, valueFrom, valueLength);
    else this.#replace(slot, bytes, from, length, value, valueFrom, valueLength);
    return slot < 0;
  }

  #add(hash: number, bytes: Buffer, from: number, length: number, value: Buffer, valueFrom: number, valueLength: number): number {
    if (this.#size === this.#locations.length) this.#grow();
    const slot = freeSlot(this.#slots, hash);
    const position = this.#size++;
    const location = this.#write(position, bytes, from, length, value, valueFrom, valueLength);
    this.#locations[position] = location;
    this.#slots[2 * slot] = hash;
    this.#slots[2 * slot + 1] = location + 1;
    return location;
  }

  removeAt(position: number): void {
    const location = this.#locations[position]!;
    this.#freeSlotOf(location);
    this.#drop(position, location);
    const last = --this.#size;
    if (position < last) {
      const moved = this.#locations[last]!;
      this.#locations[position] = moved;
      this.#words[moved >>> WORD_BITS]![moved & WORD_MASK] = position;
      const long = this.#long.get(last);
      if (long !== undefined) {
        this.#long.delete(last);
        this.#long.set(position, long);
      }
    }
    this.#tidy();
  }

  copy(moved?: (locationOf: (before: number) => number) => void): PairTable {
    const copy = new PairTable(moved);
    copy.#bytes = this.#bytes.map((segment) => Buffer.from(segment.buffer.slice(0)));
    copy.#words = copy.#bytes.map(wordsOf);
    copy.#top = this.#top;
    copy.#garbageBytes = this.#garbageBytes;
    copy.#slots = this.#slots.slice();
    copy.#locations = this.#locations.slice();
    copy.#size = this.#size;
    for (const [position, { field, value }] of this.#long) copy.#long.set(position, { field, value: Buffer.from(value) });
    copy.#longBytes = this.#longBytes;
    return copy;
  }

  /** The slot of a field, below 0 where it is not there. */
  #slotOf(bytes: Buffer, from: number, length: number, hash: number): number {
    const slots = this.#slots;
    const mask = (slots.length >>> 1) - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const location = slots[2 * slot + 1]!;
      if (location === 0) return -1;
      if ((slots[2 * slot]! | 0) === hash && this.#isField(location - 1, bytes, from, length)) return slot;
    }
  }

  #isField(location: number, bytes: Buffer, from: number, length: number): boolean {
    const lengths = this.#lengthsAt(location);
    if (lengths === LONG) return this.compare(location, bytes, from, length) === 0;
    if ((lengths & 0xffff) !== length) return false;
    const segment = this.#bytes[location >>> WORD_BITS]!;
    const at = byteOf(location) + HEADER_BYTES;
    for (let i = 0; i < length; i++) if (segment[at + i] !== bytes[from + i]) return false;
    return true;
  }

  #lengthsAt(location: number): number {
    return this.#words[location >>> WORD_BITS]![(location & WORD_MASK) + 1]!;
  }

  #replace(slot: number, bytes: Buffer, from: number, length: number, value: Buffer, valueFrom: number, valueLength: number): void {
    const location = this.#slots[2 * slot + 1]! - 1;
    const lengths = this.#lengthsAt(location);
    const before = entryBytes(lengths);
    const after = HEADER_BYTES + wholeWords(length + valueLength);
    if (lengths !== LONG && valueLength <= ITEM_BYTES_MAX && after <= before) {
      this.#words[location >>> WORD_BITS]![(location & WORD_MASK) + 1] = length | (valueLength << 16);
      copyInto(this.#bytes[location >>> WORD_BITS]!, byteOf(location) + HEADER_BYTES + length, value, valueFrom, valueLength);
      this.#garbageBytes += before - after;
      return;
    }
    const position = this.positionOf(location);
    this.#drop(position, location);
    const to = this.#write(position, bytes, from, length, value, valueFrom, valueLength);
    this.#locations[position] = to;
    this.#slots[2 * slot + 1] = to + 1;
    this.#tidy();
  }

  /** Writes an entry that nothing points to yet. */
  #write(position: number, bytes: Buffer, from: number, length: number, value: Buffer, valueFrom: number, valueLength: number): number {
    const isLong = length > ITEM_BYTES_MAX || valueLength > ITEM_BYTES_MAX;
    const location = this.#allocate(HEADER_BYTES + (isLong ? 0 : wholeWords(length + valueLength)));
    const words = this.#words[location >>> WORD_BITS]!;
    const word = location & WORD_MASK;
    words[word] = position;
    words[word + 1] = isLong ? LONG : length | (valueLength << 16);
    if (isLong) {
      this.#long.set(position, {
        field: ownBytes(bytes, from, length),
        value: ownBytes(value, valueFrom, valueLength),
      });
      this.#longBytes += length + valueLength;
    } else {
      const segment = this.#bytes[location >>> WORD_BITS]!;
      const at = byteOf(location) + HEADER_BYTES;
      copyInto(segment, at, bytes, from, length);
      copyInto(segment, at + length, value, valueFrom, valueLength);
    }
    return location;
  }

  #allocate(bytes: number): number {
    const segments = this.#bytes;
    const last = segments.length - 1;
    const used = 4 * (this.#top & WORD_MASK);
    // A top at the very end of a segment is the start of the next.
    const isFull = last < 0 || this.#top >>> WORD_BITS > last || used + bytes > SEGMENT_BYTES;
    if (isFull) {
      this.#addSegment(last < 0 ? FIRST_BYTES : SEGMENT_BYTES);
      this.#top = (segments.length - 1) << WORD_BITS;
    }
    if (last <= 0) while ((this.#top & WORD_MASK) * 4 + bytes > segments[0]!.length && segments.length === 1) this.#growFirst();
    const location = this.#top;
    this.#top += bytes >>> 2;
    return location;
  }

  #addSegment(bytes: number): void {
    const segment = Buffer.from(new ArrayBuffer(bytes));
    this.#bytes.push(segment);
    this.#words.push(wordsOf(segment));
  }

  #growFirst(): void {
    const grown = Buffer.from(new ArrayBuffer(2 * this.#bytes[0]!.length));
    grown.set(this.#bytes[0]!);
    this.#bytes[0] = grown;
    this.#words[0] = wordsOf(grown);
  }

  /** Twice as many positions, of which there are half as many as slots. */
  #grow(): void {
    const locations = new Uint32Array(2 * this.#locations.length);
    locations.set(this.#locations);
    this.#locations = locations;
    const before = this.#slots;
    const slots = new Uint32Array(2 * (2 * locations.length));
    for (let at = 0; at < before.length; at += 2) {
      if (before[at + 1] === 0) continue;
      const slot = freeSlot(slots, before[at]!);
      slots[2 * slot] = before[at]!;
      slots[2 * slot + 1] = before[at + 1]!;
    }
    this.#slots = slots;
  }

  /** Closes the gap in the row of slots, so that nothing after it gets lost. */
  #freeSlotOf(location: number): void {
    const slots = this.#slots;
    const mask = (slots.length >>> 1) - 1;
    let gap = this.#hashAt(location) & mask;
    while (slots[2 * gap + 1] !== location + 1) gap = (gap + 1) & mask;
    for (let slot = (gap + 1) & mask; slots[2 * slot + 1] !== 0; slot = (slot + 1) & mask) {
      const home = slots[2 * slot]! & mask;
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue; // it would come before its home
      slots[2 * gap] = slots[2 * slot]!;
      slots[2 * gap + 1] = slots[2 * slot + 1]!;
      gap = slot;
    }
    slots[2 * gap + 1] = 0;
  }

  #hashAt(location: number): number {
    const lengths = this.#lengthsAt(location);
    if (lengths !== LONG) return hashOf(this.#bytes[location >>> WORD_BITS]!, byteOf(location) + HEADER_BYTES, lengths & 0xffff);
    const { field } = this.#longOf(location);
    return hashOf(field, 0, field.length);
  }

  /** The entry is of no use any more. */
  #drop(position: number, location: number): void {
    const lengths = this.#lengthsAt(location);
    this.#garbageBytes += entryBytes(lengths);
    const long = lengths === LONG ? this.#long.get(position) : undefined;
    if (long === undefined) return;
    this.#longBytes -= long.field.length + long.value.length;
    this.#long.delete(position);
  }

  /** Writes all entries anew where half of the memory is lost. */
  #tidy(): void {
    if (this.#garbageBytes < GARBAGE_MIN || 2 * this.#garbageBytes < 4 * this.#top) return;
    const [bytes, words] = [this.#bytes, this.#words];
    this.#bytes = [];
    this.#words = [];
    this.#top = 0;
    this.#garbageBytes = 0;
    const slots = this.#slots;
    for (let at = 0; at < slots.length; at += 2) {
      if (slots[at + 1] === 0) continue;
      const from = slots[at + 1]! - 1;
      const size = entryBytes(words[from >>> WORD_BITS]![(from & WORD_MASK) + 1]!);
      const to = this.#allocate(size);
      copyInto(this.#bytes[to >>> WORD_BITS]!, byteOf(to), bytes[from >>> WORD_BITS]!, byteOf(from), size);
      slots[at + 1] = to + 1;
      this.#locations[this.positionOf(to)] = to;
      words[from >>> WORD_BITS]![from & WORD_MASK] = to; // nobody else reads it there
    }
    this.#moved?.((before) => words[before >>> WORD_BITS]![before & WORD_MASK]!);
  }
}

const ownBytes = (bytes: Buffer, from: number, length: number): Buffer => {
  const own = Buffer.allocUnsafeSlow(length);
  own.set(bytes.subarray(from, from + length));
  return own;
};

const byteOf = (location: number): number => (location & WORD_MASK) << 2;

const wholeWords = (bytes: number): number => (bytes + 3) & ~3;

const entryBytes = (lengths: number): number => HEADER_BYTES + (lengths === LONG ? 0 : wholeWords((lengths & 0xffff) + (lengths >>> 16)));

const wordsOf = (segment: Buffer): Uint32Array => new Uint32Array(segment.buffer as ArrayBuffer);

/** The first free slot for this hash. */
function freeSlot(slots: Uint32Array, hash: number): number {
  const mask = (slots.length >>> 1) - 1;
  let slot = hash & mask;
  while (slots[2 * slot + 1] !== 0) slot = (slot + 1) & mask;
  return slot;
}
