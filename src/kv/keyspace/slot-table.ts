import { byteOf, segmentOf, wordOf, type Address, type Arena } from "./arena.ts";
import { Dictionary, HEADER_BYTES, KEY_BYTES } from "./dictionary.ts";
import { SLOT_COUNT, slotOfBytes } from "./key-slot.ts";

/** What finds records by their keys: one dictionary, or one for each slot. */
export type KeyTable = Pick<
  Dictionary,
  | "count"
  | "tableBytes"
  | "buckets"
  | "fetch"
  | "find"
  | "moving"
  | "insert"
  | "remove"
  | "replace"
  | "move"
  | "scan"
  | "each"
  | "random"
  | "clear"
>;

/** Slots are counted in groups of so many, so that a random one is found without asking all. */
const GROUP_BITS = 7;
const GROUP = 1 << GROUP_BITS;

/** A dictionary for each slot that has keys: counting, dropping and exchanging the keys of a slot needs nothing of the others. */
export class SlotTable implements KeyTable {
  readonly #arena: Arena;
  readonly #mayGrow: (bytes: number) => boolean;
  readonly #slots: (Dictionary | undefined)[] = Array.from({ length: SLOT_COUNT }, () => undefined);
  readonly #groups = new Uint32Array(SLOT_COUNT >>> GROUP_BITS);
  /** Slots whose dictionaries grow or shrink, or did a moment ago. */
  readonly #moving = new Set<number>();
  #count = 0;
  #tableBytes = 0;

  constructor(arena: Arena, mayGrow: (bytes: number) => boolean) {
    this.#arena = arena;
    this.#mayGrow = mayGrow;
  }

  get count(): number {
    return this.#count;
  }

  get tableBytes(): number {
    return this.#tableBytes;
  }

  get buckets(): number {
    let buckets = 0;
    for (const slot of this.#slots) buckets += slot?.buckets ?? 0;
    return buckets;
  }

  countOf(slot: number): number {
    return this.#slots[slot]?.count ?? 0;
  }

  /** Of the record's key. */
  slotOf(address: Address): number {
    const length = this.#arena.words[segmentOf(address)]![wordOf(address) + KEY_BYTES]!;
    return slotOfBytes(this.#arena.bytes[segmentOf(address)]!, byteOf(address) + HEADER_BYTES, length);
  }

  /** Nothing: keys of several commands lie in tables of their own, few in each. */
  fetch(): void {}

  find(bytes: Uint8Array, from: number, length: number, hash: number): Address {
    return this.#slots[slotOfBytes(bytes, from, length)]?.find(bytes, from, length, hash) ?? 0;
  }

  insert(address: Address): void {
    const slot = this.slotOf(address);
    const dictionary = (this.#slots[slot] ??= this.#made());
    const before = dictionary.tableBytes;
    dictionary.insert(address);
    if (dictionary.moving) this.#moving.add(slot);
    this.#changed(slot, 1, dictionary.tableBytes - before);
  }

  remove(address: Address): void {
    const slot = this.slotOf(address);
    const dictionary = this.#slots[slot]!; // the record is in it
    const before = dictionary.tableBytes;
    dictionary.remove(address);
    if (dictionary.moving) this.#moving.add(slot);
    this.#changed(slot, -1, dictionary.tableBytes - before);
    if (dictionary.count === 0) this.exchange(slot, undefined);
  }

  replace(address: Address, by: Address): void {
    this.#slots[this.slotOf(by)]!.replace(address, by); // the record is in it
  }

  #made(): Dictionary {
    const dictionary = new Dictionary(this.#arena, this.#mayGrow);
    this.#tableBytes += dictionary.tableBytes;
    return dictionary;
  }

  #changed(slot: number, count: number, tableBytes: number): void {
    this.#tableBytes += tableBytes;
    this.#count += count;
    this.#groups[slot >>> GROUP_BITS]! += count;
  }

  /** Puts another dictionary, of the same arena, in the place of a slot's; what was there. */
  exchange(slot: number, dictionary: Dictionary | undefined): Dictionary | undefined {
    const before = this.#slots[slot];
    this.#slots[slot] = dictionary;
    if (dictionary?.moving === true) this.#moving.add(slot);
    else this.#moving.delete(slot);
    this.#changed(slot, (dictionary?.count ?? 0) - (before?.count ?? 0), (dictionary?.tableBytes ?? 0) - (before?.tableBytes ?? 0));
    return before;
  }

  get moving(): boolean {
    return this.#moving.size > 0;
  }

  /** So many buckets of all slots together. */
  move(buckets: number): void {
    let left = buckets;
    for (const slot of this.#moving) {
      if (left <= 0) return;
      left -= this.#moveOf(slot, left);
    }
  }

  /** Goes on with a slot's dictionary. What that counts: all its buckets, though fewer may have been moved; 1 where none had to be. */
  #moveOf(slot: number, buckets: number): number {
    const dictionary = this.#slots[slot];
    const before = dictionary?.tableBytes ?? 0;
    const looked = dictionary?.moving === true ? dictionary.buckets : 1;
    dictionary?.move(buckets);
    this.#tableBytes += (dictionary?.tableBytes ?? 0) - before;
    if (dictionary?.moving !== true) this.#moving.delete(slot);
    return looked;
  }

  /** As `Dictionary.scan`, slot by slot: a cursor is that of a slot's dictionary above the number of the slot. */
  scan(cursor: number, visit: (address: Address) => void): number {
    const slot = this.#filledFrom(cursor % SLOT_COUNT);
    if (slot === SLOT_COUNT) return 0;
    const within = slot === cursor % SLOT_COUNT ? Math.floor(cursor / SLOT_COUNT) : 0;
    const next = this.#slots[slot]!.scan(within, visit);
    if (next !== 0) return next * SLOT_COUNT + slot;
    const after = this.#filledFrom(slot + 1);
    return after === SLOT_COUNT ? 0 : after;
  }

  #filledFrom(from: number): number {
    let slot = from;
    while (slot < SLOT_COUNT && this.#slots[slot] === undefined) slot++;
    return slot;
  }

  scanSlot(slot: number, cursor: number, visit: (address: Address) => void): number {
    return this.#slots[slot]?.scan(cursor, visit) ?? 0;
  }

  each(visit: (address: Address) => void): void {
    for (const slot of this.#slots) slot?.each(visit);
  }

  random(random: () => number): Address {
    if (this.#count === 0) return 0;
    let left = Math.floor(random() * this.#count);
    let group = 0;
    while (left >= this.#groups[group]!) left -= this.#groups[group++]!;
    for (let slot = group * GROUP; ; slot++) {
      const count = this.countOf(slot);
      if (left < count) return this.#slots[slot]!.random(random);
      left -= count;
    }
  }

  clear(): void {
    this.#slots.fill(undefined);
    this.#moving.clear();
    this.#groups.fill(0);
    this.#count = this.#tableBytes = 0;
  }
}
