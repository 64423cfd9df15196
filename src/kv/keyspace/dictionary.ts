import { BATCH_MAX } from "../../wire/resp/request-parser.ts";
import type { Request } from "../../wire/resp/request.ts";
import { byteOf, segmentOf, wordOf, type Address, type Arena } from "./arena.ts";

/** Words of a record, before the bytes of its key. */
export const NEXT = 0;
export const HASH = 1;
export const KEY_BYTES = 2;
/** Bytes of the value that follows the key, or the number of an object. */
export const VALUE = 3;
/** Index of the time when it expires, plus one; 0: never. */
export const EXPIRY = 4;
/** Type, flags, and when it was used last. */
export const META = 5;
export const HEADER_BYTES = 24;

/** Units from the start of a short record nearly to its end, which may lie in another cache line. */
const SECOND_LINE = 5;

/** What the buckets of a batch hold. */
const FETCHED = new Uint32Array(BATCH_MAX);

/** Index of the argument that is a key, as a rule. */
export const KEY = 1;

const BUCKETS_MIN = 4;
/** Keys for each bucket from which on the table grows, whatever memory that takes. */
const LOAD_MAX = 1.618;
/** Empty buckets that one step of a move passes over. */
const EMPTY_MAX = 10;

/**
 * Keys to records of an arena: buckets of chains. It grows and shrinks by moving a bucket with each insertion, so that no single command waits for all of
 * them; meanwhile both tables are searched.
 */
export class Dictionary {
  readonly #arena: Arena;
  /** Whether so many bytes more may be taken now. */
  readonly #mayGrow: (bytes: number) => boolean;
  #table = new Uint32Array(BUCKETS_MIN);
  /** Where the buckets below `#moved` of the table have gone. */
  #next: Uint32Array<ArrayBuffer> | undefined;
  #moved = 0;
  #count = 0;
  /** Only so that what is fetched is not left out as useless. */
  #sum = 0;

  constructor(arena: Arena, mayGrow: (bytes: number) => boolean) {
    this.#arena = arena;
    this.#mayGrow = mayGrow;
  }

  get count(): number {
    return this.#count;
  }

  get tableBytes(): number {
    return this.#table.byteLength + (this.#next?.byteLength ?? 0);
  }

  get moving(): boolean {
    return this.#next !== undefined;
  }

  get buckets(): number {
    return this.#table.length;
  }

  /**
   * To be called between commands: looks at what will be met where the first arguments of these requests, if they are hashed, are looked for as keys: each look waits for memory, but not for the others, so that all of
   * them take little longer than one. A move goes on as well: until it is over, many keys are looked for in two tables.
   */
  fetch(requests: readonly Request[], count: number): void {
    if (this.#next !== undefined) this.move(count);
    const table = this.#table;
    const { words } = this.#arena;
    const addresses = FETCHED;
    const mask = table.length - 1;
    for (let i = 0; i < count; i++) addresses[i] = table[requests[i]!.hashes[KEY]! & mask]!;
    let sum = this.#sum;
    for (let i = 0; i < count; i++) {
      const address = addresses[i]!;
      if (address === 0) continue;
      const record = words[segmentOf(address)]!;
      const word = wordOf(address);
      sum ^= record[word + HASH]! ^ record[wordOf(address + SECOND_LINE)]!;
    }
    // Not in the same loop, which would wait to know whether there is more to be met.
    for (let i = 0; i < count; i++) {
      const address = addresses[i]!;
      if (address === 0) continue;
      const record = words[segmentOf(address)]!;
      const word = wordOf(address);
      const next = record[word + NEXT]!;
      if (next !== 0 && (record[word + HASH]! | 0) !== requests[i]!.hashes[KEY]) sum ^= words[segmentOf(next)]![wordOf(next) + HASH]!;
    }
    this.#sum = sum;
  }

  /** The record of a key, 0 where there is none. */
  find(bytes: Uint8Array, from: number, length: number, hash: number): Address {
    const found = this.#inChain(this.#table[hash & (this.#table.length - 1)]!, bytes, from, length, hash);
    if (found !== 0 || this.#next === undefined) return found;
    return this.#inChain(this.#next[hash & (this.#next.length - 1)]!, bytes, from, length, hash);
  }

  #inChain(first: Address, bytes: Uint8Array, from: number, length: number, hash: number): Address {
    const { words, bytes: segments } = this.#arena;
    for (let address = first; address !== 0;) {
      const word = wordOf(address);
      const record = words[segmentOf(address)]!;
      if ((record[word + HASH]! | 0) === hash && record[word + KEY_BYTES] === length) {
        const segment = segments[segmentOf(address)]!;
        let at = byteOf(address) + HEADER_BYTES;
        let i = 0;
        while (i < length && segment[at] === bytes[from + i]) {
          i++;
          at++;
        }
        if (i === length) return address;
      }
      address = record[word]!;
    }
    return 0;
  }

  /** Adds a record whose key is not here; its hash must be in it. */
  insert(address: Address): void {
    this.#count++;
    if (this.#next !== undefined) this.move(1);
    else if (this.#count > this.#table.length && this.#isGrowthDue()) this.#resize(2 * this.#table.length);
    const record = this.#arena.words[segmentOf(address)]!;
    const word = wordOf(address);
    const table = this.#next ?? this.#table;
    const bucket = record[word + HASH]! & (table.length - 1);
    record[word + NEXT] = table[bucket]!;
    table[bucket] = address;
  }

  #isGrowthDue(): boolean {
    return this.#count > LOAD_MAX * this.#table.length || this.#mayGrow(2 * this.#table.byteLength);
  }

  /** Takes a record out; it is the caller's to free. */
  remove(address: Address): void {
    this.#relink(address, this.#nextOf(address));
    this.#count--;
    if (this.#next === undefined && this.#table.length > BUCKETS_MIN && this.#count * 8 < this.#table.length)
      this.#resize(this.#table.length / 2);
  }

  /** The key has moved to another record, which has the same hash. */
  replace(address: Address, by: Address): void {
    this.#arena.words[segmentOf(by)]![wordOf(by) + NEXT] = this.#nextOf(address);
    this.#relink(address, by);
  }

  #nextOf(address: Address): Address {
    return this.#arena.words[segmentOf(address)]![wordOf(address) + NEXT]!;
  }

  /** Lets whatever points to the record point elsewhere. */
  #relink(address: Address, to: Address): void {
    const hash = this.#arena.words[segmentOf(address)]![wordOf(address) + HASH]!;
    for (const table of [this.#table, this.#next]) {
      if (table === undefined) continue;
      const bucket = hash & (table.length - 1);
      let at = table[bucket]!;
      if (at === address) {
        table[bucket] = to;
        return;
      }
      while (at !== 0) {
        const record = this.#arena.words[segmentOf(at)]!;
        const word = wordOf(at) + NEXT;
        at = record[word]!;
        if (at === address) {
          record[word] = to;
          return;
        }
      }
    }
  }

  #resize(buckets: number): void {
    this.#next = new Uint32Array(Math.max(buckets, BUCKETS_MIN));
    this.#moved = 0;
    this.move(1);
  }

  /** Moves so many buckets on, if a move is under way. */
  move(buckets: number): void {
    const to = this.#next;
    if (to === undefined) return;
    const from = this.#table;
    const { words } = this.#arena;
    let empty = buckets * EMPTY_MAX;
    for (let left = buckets; left > 0 && this.#moved < from.length; this.#moved++) {
      let address = from[this.#moved]!;
      if (address === 0) {
        if (--empty === 0) {
          this.#moved++;
          break;
        }
        continue;
      }
      from[this.#moved] = 0;
      left--;
      while (address !== 0) {
        const record = words[segmentOf(address)]!;
        const word = wordOf(address);
        const next = record[word + NEXT]!;
        const bucket = record[word + HASH]! & (to.length - 1);
        record[word + NEXT] = to[bucket]!;
        to[bucket] = address;
        address = next;
      }
    }
    if (this.#moved < from.length) return;
    this.#table = to;
    this.#next = undefined;
  }

  /**
   * Visits the records of one bucket and returns the cursor for the next, 0 at the end. Records that are there from the first call to the last are visited at
   * least once, however the table grows or shrinks meanwhile: cursors count with their bits reversed (as Redis' SCAN does, by Pieter Noordhuis).
   */
  scan(cursor: number, visit: (address: Address) => void): number {
    const [small, large] =
      this.#next === undefined || this.#next.length > this.#table.length ? [this.#table, this.#next] : [this.#next, this.#table];
    this.#visitChain(small[cursor & (small.length - 1)]!, visit);
    if (large === undefined) return nextCursor(cursor, small.length - 1);
    // All the buckets of the large table that the small one's bucket has been, or will be, divided into.
    let at = cursor;
    do {
      this.#visitChain(large[at & (large.length - 1)]!, visit);
      at = nextCursor(at, large.length - 1);
    } while ((at & ((small.length - 1) ^ (large.length - 1))) !== 0);
    return at;
  }

  #visitChain(first: Address, visit: (address: Address) => void): void {
    for (let address = first; address !== 0;) {
      const next = this.#nextOf(address);
      visit(address);
      address = next;
    }
  }

  /** Visits every record; nothing may be added or removed meanwhile but the one that is visited. */
  each(visit: (address: Address) => void): void {
    for (const table of [this.#table, this.#next])
      if (table !== undefined) for (let i = 0; i < table.length; i++) if (table[i] !== 0) this.#visitChain(table[i]!, visit);
  }

  /** Some record, 0 where there are none; in chains of different length not quite with the same chance each. */
  random(random: () => number): Address {
    if (this.#count === 0) return 0;
    const before = this.#next === undefined ? 0 : this.#table.length;
    const total = this.#table.length + (this.#next?.length ?? 0);
    for (;;) {
      const at = Math.floor(random() * total);
      const first = before > 0 && at >= before ? this.#next![at - before]! : this.#table[at]!;
      if (first === 0) continue;
      let length = 0;
      for (let address = first; address !== 0; address = this.#nextOf(address)) length++;
      let found = first;
      for (let left = length === 1 ? 0 : Math.floor(random() * length); left > 0; left--) found = this.#nextOf(found);
      return found;
    }
  }

  clear(): void {
    this.#table = new Uint32Array(BUCKETS_MIN);
    this.#next = undefined;
    this.#count = 0;
  }
}

/** Adds one from the highest bit of the mask downwards. */
function nextCursor(cursor: number, mask: number): number {
  return reversed(reversed((cursor | ~mask) >>> 0) + 1);
}

function reversed(value: number): number {
  let v = value;
  v = ((v >>> 1) & 0x55555555) | ((v & 0x55555555) << 1);
  v = ((v >>> 2) & 0x33333333) | ((v & 0x33333333) << 2);
  v = ((v >>> 4) & 0x0f0f0f0f) | ((v & 0x0f0f0f0f) << 4);
  v = ((v >>> 8) & 0x00ff00ff) | ((v & 0x00ff00ff) << 8);
  return ((v >>> 16) | (v << 16)) >>> 0;
}
