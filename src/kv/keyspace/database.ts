import { safeIntegerIn } from "../numbers.ts";
import type { MakeMemory } from "../../disk/huge-pages.ts";
import { latin1Of, writeLatin1 } from "../../base/latin1.ts";
import type { Request } from "../../wire/resp/request.ts";
import { copyInto } from "../../wire/resp/reply-writer.ts";
import { Arena, byteOf, recordBytesOf, sameRecord, segmentOf, wordOf, type Address } from "./arena.ts";
import { Dictionary, EXPIRY, HASH, HEADER_BYTES, KEY, KEY_BYTES, META, VALUE } from "./dictionary.ts";
import { Expiries } from "./expiries.ts";
import { hashAt, hashOf, rememberHashes } from "./hash.ts";
import { Objects } from "./objects.ts";
import { SlotTable, type KeyTable } from "./slot-table.ts";
import { LargeString, STRING, TYPES, type TypeName, type Value } from "./value.ts";

const TYPE_MASK = 7;
/** The value is an object, not bytes in the record. */
const OBJECT_FLAG = 8;
/** A string that was changed in place: its encoding is `raw` however short it is. */
const RAW_FLAG = 16;
const FLAGS_MASK = 0xff;
/** Whether a snapshot has the record: those that have it the same way as `Database.snapshotMark`. */
const SNAPSHOT_FLAG = 32;
/** The walk through the record's slot has not come to it. */
const UNWALKED_FLAG = 64;
/** What has to be looked at before a record is changed. */
const MARKS_MASK = SNAPSHOT_FLAG | UNWALKED_FLAG;
const CONTENT_FLAGS_MASK = FLAGS_MASK & ~MARKS_MASK;
/** Above the flags: 24 bits of when it was used, or how often. */
const USE_SHIFT = 8;
const INT32_MAX = 0x7fff_ffff;
/** Key and value together; what is larger becomes an object. */
const INLINE_BYTES_MAX = 16 * 1024;

export interface DatabaseEvents {
  /** A key has expired and is gone. */
  expired(database: Database, key: string): void;
  /** A key is new. Told only while `tellsAdded`. */
  added(database: Database, key: string): void;
  /** A key is read that is not there. */
  missed(database: Database, request: Request, index: number): void;
  /** Whether the table of keys may take so many bytes more now; where not, it asks again with the next key. */
  mayGrow?(bytes: number): boolean;
  /** Where records are to lie. */
  readonly makeMemory?: MakeMemory | undefined;
}

/** Of a database that nobody looks at. */
export const NO_EVENTS: DatabaseEvents = { expired: () => {}, missed: () => {}, added: () => {} };

/** What is done with a key whose time has come. A replica waits for its primary to say so, and hides it; while loading nothing expires. */
export type ExpiryMode = "delete" | "hide" | "keep";

/** What records and objects lie in; a database and what is staged for it share one. */
interface Memory {
  readonly arena: Arena;
  readonly objects: Objects;
  /** Databases that have something in it. */
  users: number;
}

/** The use of records: what the clock of LRU or the counter of LFU makes of one that is used. */
export type UseOf = (before: number) => number;

/**
 * The keys of one database. Keys and strings lie in an arena, everything else is an object that a record names. A record is known by its `Address` until
 * something is written: then it may lie elsewhere.
 *
 * Every lookup looks whether the key has expired. Text is latin-1, one character for one byte.
 */
export class Database {
  readonly index: number;
  /** One dictionary for each slot: cluster mode. */
  readonly bySlot: boolean;
  #memory: Memory;
  #arena: Arena;
  #dictionary: KeyTable;
  #expiries = new Expiries();
  #objects: Objects;
  readonly #events: DatabaseEvents;
  #scratch = Buffer.allocUnsafeSlow(256);
  /** The time that expiry goes by, Unix milliseconds: set before each command, so that within one nothing changes. */
  nowMs = 0;
  expiryMode: ExpiryMode = "delete";
  useOf: UseOf = (before) => before;
  tellsAdded = false;
  hits = 0;
  misses = 0;
  #snapshotMark = 0;
  /** Gets each record that the snapshot under way has not, before it is changed or removed. */
  #beforeChange: ((db: Database, address: Address) => void) | undefined;
  /** By slot. */
  readonly #walks = new Map<number, (address: Address) => void>();
  #frozen: ReadonlySet<number> = new Set();
  /** Slots whose records are to go, and where dropping them goes on. */
  #drops = new Map<number, number>();

  constructor(index: number, events: DatabaseEvents, options: { readonly bySlot?: boolean; readonly memory?: Memory } = {}) {
    this.index = index;
    this.bySlot = options.bySlot ?? false;
    this.#events = events;
    this.#memory = options.memory ?? { arena: new Arena(events.makeMemory), objects: new Objects(), users: 0 };
    this.#memory.users++;
    this.#arena = this.#memory.arena;
    this.#objects = this.#memory.objects;
    this.#dictionary = this.#newTable();
  }

  #newTable(): KeyTable {
    const mayGrow = (bytes: number): boolean => this.#events.mayGrow?.(bytes) ?? true;
    return this.bySlot ? new SlotTable(this.#arena, mayGrow) : new Dictionary(this.#arena, mayGrow);
  }

  /** An empty one of the same kind that nobody looks at. */
  blank(): Database {
    const blank = new Database(this.index, NO_EVENTS, { bySlot: this.bySlot });
    blank.nowMs = this.nowMs;
    blank.useOf = this.useOf;
    return blank;
  }

  get count(): number {
    return this.#dictionary.count;
  }

  /** Buckets of the table that finds keys. */
  get tableSize(): number {
    return this.#dictionary.buckets;
  }

  get expiryCount(): number {
    return this.#expiries.count;
  }

  /** Bytes of records and tables, without objects. */
  get recordBytes(): number {
    return this.#arena.usedBytes + this.#dictionary.tableBytes + this.#expiries.bytes;
  }

  /** Bytes of all that is here, objects as they say themselves. */
  get usedBytes(): number {
    return this.recordBytes + this.#objects.usedBytes;
  }

  get allocatedBytes(): number {
    return this.#arena.allocatedBytes + this.#dictionary.tableBytes + this.#expiries.bytes;
  }

  /** To be called before several commands are run: what they will look for, as a rule by their first arguments, is brought near. */
  fetch(requests: readonly Request[], count: number): void {
    rememberHashes(requests, count, KEY);
    this.#dictionary.fetch(requests, count);
    const first = requests[0]!;
    let same = 1;
    while (same < count && requests[same]!.hashes[KEY] === first.hashes[KEY]) same++;
    if (same < count || (first.hashed & (1 << KEY)) === 0) return;
    const address = this.#dictionary.find(first.bytes, first.offsets[KEY]!, first.lengths[KEY]!, first.hashes[KEY]!);
    if (address !== 0) this.objectOf(address)?.fetch?.(requests, count);
  }

  // --- looking up -------------------------------------------------------------------------------------------------------------------

  /** For a command that reads: counts as a use, and as hit or miss. 0 where there is no such key. */
  read(request: Request, index: number): Address {
    return this.#counted(this.#used(this.peek(request, index)), request, index);
  }

  /** For a command that writes: counts as a use. */
  find(request: Request, index: number): Address {
    return this.#changing(this.#used(this.peek(request, index)));
  }

  /** Does not count as a use: `TYPE`, `TTL`, `OBJECT`, `EXISTS`. */
  peek(request: Request, index: number): Address {
    return this.#live(request.bytes, request.offsets[index]!, request.lengths[index]!, hashAt(request, index));
  }

  findText(key: string): Address {
    return this.#changing(this.#used(this.peekText(key)));
  }

  peekText(key: string): Address {
    const bytes = this.#encoded(key);
    return this.#live(bytes, 0, key.length, hashOf(bytes, 0, key.length));
  }

  /** A record that has expired is still there until something looks for it by its key; this one is not looked at. */
  isExpired(address: Address): boolean {
    const index = this.#word(address, EXPIRY);
    return index !== 0 && this.#expiries.atMs(index - 1) <= this.nowMs;
  }

  #live(bytes: Uint8Array, from: number, length: number, hash: number): Address {
    const address = this.#dictionary.find(bytes, from, length, hash);
    return address === 0 || !this.lapsed(address) ? address : 0;
  }

  /** Whether a record is not to be seen, as its time has come; unless another server has to say so, it is removed then. For records not found by their keys. */
  lapsed(address: Address): boolean {
    if (this.expiryMode === "keep" || !this.isExpired(address)) return false;
    if (this.expiryMode === "delete" && !this.isFrozen(address)) {
      const key = this.keyOf(address);
      this.remove(address);
      this.#events.expired(this, key);
    }
    return true;
  }

  /** What is found to be written may change its size: that is asked when somebody wants to know. */
  #changing(address: Address): Address {
    if (address !== 0) {
      const record = this.#arena.words[segmentOf(address)]!;
      const word = wordOf(address);
      const meta = record[word + META]!;
      if ((meta & MARKS_MASK) !== this.#snapshotMark) this.#changesFirst(address);
      if ((meta & OBJECT_FLAG) !== 0) this.#objects.changing(record[word + VALUE]!);
    }
    return address;
  }

  #used(address: Address): Address {
    if (address === 0) return 0;
    const record = this.#arena.words[segmentOf(address)]!;
    const word = wordOf(address) + META;
    const meta = record[word]!;
    record[word] = (meta & FLAGS_MASK) | (this.useOf(meta >>> USE_SHIFT) << USE_SHIFT);
    return address;
  }

  #counted(address: Address, request: Request, index: number): Address {
    if (address === 0) {
      this.misses++;
      this.#events.missed(this, request, index);
    } else this.hits++;
    return address;
  }

  // --- what a record holds ----------------------------------------------------------------------------------------------------------

  keyOf(address: Address): string {
    const from = byteOf(address) + HEADER_BYTES;
    return latin1Of(this.#arena.bytes[segmentOf(address)]!, from, from + this.#word(address, KEY_BYTES));
  }

  /** Number in `TYPES`. */
  typeOf(address: Address): number {
    return this.#word(address, META) & TYPE_MASK;
  }

  typeNameOf(address: Address): TypeName {
    return TYPES[this.typeOf(address)]!;
  }

  /** The object of a record that is no string in the arena. */
  objectOf(address: Address): Value | undefined {
    return (this.#word(address, META) & OBJECT_FLAG) === 0 ? undefined : this.#objects.at(this.#word(address, VALUE));
  }

  /** 24 bits: when it was used, or how often, as `useOf` made them. */
  useBitsOf(address: Address): number {
    return this.#word(address, META) >>> USE_SHIFT;
  }

  setUseBits(address: Address, bits: number): void {
    this.#setWord(address, META, (this.#word(address, META) & FLAGS_MASK) | (bits << USE_SHIFT));
  }

  isRaw(address: Address): boolean {
    return (this.#word(address, META) & RAW_FLAG) !== 0;
  }

  /** Length of a string, in bytes. */
  stringBytesOf(address: Address): number {
    return this.objectOf(address)?.size ?? this.#word(address, VALUE);
  }

  /** Where the bytes of a string lie, until the next write. */
  stringOf(address: Address): Buffer {
    const object = this.objectOf(address);
    if (object !== undefined) return (object as LargeString).content;
    const from = this.stringFrom(address);
    return this.segmentOf(address).subarray(from, from + this.#word(address, VALUE));
  }

  stringTextOf(address: Address): string {
    const object = this.objectOf(address);
    if (object !== undefined) return latin1Of((object as LargeString).content);
    const from = this.stringFrom(address);
    return latin1Of(this.segmentOf(address), from, from + this.#word(address, VALUE));
  }

  /** For the hot path, of a string that is no object: the buffer that it lies in, … */
  segmentOf(address: Address): Buffer {
    return this.#arena.bytes[segmentOf(address)]!;
  }

  /** … and from where on. */
  stringFrom(address: Address): number {
    return byteOf(address) + HEADER_BYTES + this.#word(address, KEY_BYTES);
  }

  // --- writing ----------------------------------------------------------------------------------------------------------------------

  /** Sets a string; what the key held before is gone, its expiry too unless it is to be kept. */
  setString(request: Request, key: number, value: number, keepExpiry = false): Address {
    const length = request.lengths[value]!;
    const keyLength = request.lengths[key]!;
    if (keyLength + length > INLINE_BYTES_MAX) return this.setObject(request, key, new LargeString(request.slice(value)), keepExpiry);
    const address = this.#placeFor(request.bytes, request.offsets[key]!, keyLength, hashAt(request, key), length, keepExpiry);
    copyInto(this.segmentOf(address), byteOf(address) + HEADER_BYTES + keyLength, request.bytes, request.offsets[value]!, length);
    return address;
  }

  setStringText(key: string, value: Uint8Array, keepExpiry = false): Address {
    if (key.length + value.length > INLINE_BYTES_MAX) return this.setObjectText(key, new LargeString(value), keepExpiry);
    const bytes = this.#encoded(key);
    const address = this.#placeFor(bytes, 0, key.length, hashOf(bytes, 0, key.length), value.length, keepExpiry);
    copyInto(this.segmentOf(address), byteOf(address) + HEADER_BYTES + key.length, value, 0, value.length);
    return address;
  }

  /** Sets a string to a safe integer; what the key held before is gone, its expiry too. */
  setInteger(request: Request, key: number, value: number): Address {
    const length = integerLength(value);
    const keyLength = request.lengths[key]!;
    if (keyLength + length > INLINE_BYTES_MAX) return this.setObject(request, key, new LargeString(Buffer.from(String(value))));
    const address = this.#placeFor(request.bytes, request.offsets[key]!, keyLength, hashAt(request, key), length, false);
    writeInteger(this.segmentOf(address), byteOf(address) + HEADER_BYTES + keyLength, length, value);
    return address;
  }

  /** Sets an object; what the key held before is gone, its expiry too unless it is to be kept. */
  setObject(request: Request, key: number, value: Value, keepExpiry = false): Address {
    return this.#putObject(request.bytes, request.offsets[key]!, request.lengths[key]!, value, keepExpiry);
  }

  setObjectText(key: string, value: Value, keepExpiry = false): Address {
    return this.#putObject(this.#encoded(key), 0, key.length, value, keepExpiry);
  }

  /** Changes a string where it is. `raw`: its encoding is `raw` from now on. The record may move. */
  changeString(address: Address, value: Uint8Array, raw: boolean): Address {
    this.#changesFirst(address);
    const large = this.objectOf(address) as LargeString | undefined;
    if (large !== undefined) {
      // `value` may lie in the string itself.
      if (value.buffer !== large.content.buffer) {
        large.resize(value.length);
        large.content.set(value);
      }
      return this.#markRaw(address, raw);
    }
    const keyBytes = this.#word(address, KEY_BYTES);
    if (keyBytes + value.length > INLINE_BYTES_MAX) {
      this.#setWord(address, META, (this.#word(address, META) & ~TYPE_MASK) | STRING);
      return this.#markRaw(this.#becomeObject(address, new LargeString(value)), raw);
    }
    const to = this.#resized(address, keyBytes, value.length);
    copyInto(this.segmentOf(to), this.stringFrom(to), value, 0, value.length);
    return this.#markRaw(to, raw);
  }

  #markRaw(address: Address, raw: boolean): Address {
    const meta = this.#word(address, META);
    this.#setWord(address, META, raw ? meta | RAW_FLAG : meta & ~RAW_FLAG);
    return address;
  }

  /**
   * Adds to a string that is a safe integer, where it lies; the sum. NaN where it is no such, the sum would not be, or would not fit there: then nothing is changed. The
   * caller has found it to be written.
   */
  addInteger(address: Address, by: number): number {
    const record = this.#arena.words[segmentOf(address)]!;
    const word = wordOf(address);
    const meta = record[word + META]!;
    if ((meta & (TYPE_MASK | OBJECT_FLAG)) !== STRING) return Number.NaN;
    const bytes = this.segmentOf(address);
    const keyBytes = record[word + KEY_BYTES]!;
    const from = byteOf(address) + HEADER_BYTES + keyBytes;
    const before = record[word + VALUE]!;
    const sum = safeIntegerIn(bytes, from, before) + by;
    if (!Number.isSafeInteger(sum)) return Number.NaN;
    const length = integerLength(sum);
    if (length !== before && !sameRecord(HEADER_BYTES + keyBytes + before, HEADER_BYTES + keyBytes + length)) return Number.NaN;
    writeInteger(bytes, from, length, sum);
    if (length !== before) record[word + VALUE] = length;
    if ((meta & RAW_FLAG) !== 0) record[word + META] = meta & ~RAW_FLAG;
    return sum;
  }

  /** Makes a string so long, with zeros after what was there; its encoding is `raw` from now on. The bytes, to be changed by the caller. */
  resizeString(address: Address, length: number): Buffer {
    this.#changesFirst(address);
    const large = this.objectOf(address) as LargeString | undefined;
    if (large !== undefined) {
      large.resize(length);
      this.#markRaw(address, true);
      return large.content;
    }
    const keyBytes = this.#word(address, KEY_BYTES);
    const before = this.#word(address, VALUE);
    if (keyBytes + length > INLINE_BYTES_MAX) {
      const grown = new LargeString(this.stringOf(address));
      grown.resize(length);
      this.#markRaw(this.#becomeObject(address, grown), true);
      return grown.content;
    }
    const kept = Buffer.from(this.stringOf(address).subarray(0, Math.min(before, length)));
    const to = this.#resized(address, keyBytes, length);
    this.#markRaw(to, true);
    const bytes = this.stringOf(to);
    kept.copy(bytes);
    bytes.fill(0, kept.length);
    return bytes;
  }

  /** Removes a record and what it holds; `kept`: its object lives on elsewhere. */
  remove(address: Address, kept = false): void {
    this.#changesFirst(address);
    this.#dictionary.remove(address);
    this.#dropExpiry(address);
    this.#dropObject(address, kept);
    this.#free(address);
  }

  clear(): void {
    this.#drops.clear();
    if (this.#memory.users > 1) return this.#leave();
    this.#dictionary.clear();
    this.#arena.clear();
    this.#expiries.clear();
    this.#objects.clear();
  }

  /** What it has shared is the others' alone; it begins anew. */
  #leave(): void {
    this.#memory.users--;
    this.#memory = { arena: new Arena(this.#events.makeMemory), objects: new Objects(), users: 1 };
    this.#arena = this.#memory.arena;
    this.#objects = this.#memory.objects;
    this.#dictionary = this.#newTable();
    this.#expiries = new Expiries();
  }

  /** Each gets all keys of the other: `SWAPDB`. */
  swapWith(other: Database): void {
    [this.#memory, other.#memory] = [other.#memory, this.#memory];
    [this.#arena, other.#arena] = [other.#arena, this.#arena];
    [this.#dictionary, other.#dictionary] = [other.#dictionary, this.#dictionary];
    [this.#expiries, other.#expiries] = [other.#expiries, this.#expiries];
    [this.#objects, other.#objects] = [other.#objects, this.#objects];
    [this.#snapshotMark, other.#snapshotMark] = [other.#snapshotMark, this.#snapshotMark];
    [this.#beforeChange, other.#beforeChange] = [other.#beforeChange, this.#beforeChange];
    [this.#drops, other.#drops] = [other.#drops, this.#drops];
  }

  // --- expiry -----------------------------------------------------------------------------------------------------------------------

  /** Unix milliseconds; undefined: it does not expire. */
  expiryOf(address: Address): number | undefined {
    const index = this.#word(address, EXPIRY);
    return index === 0 ? undefined : this.#expiries.atMs(index - 1);
  }

  setExpiry(address: Address, atMs: number): void {
    this.#changesFirst(address);
    const index = this.#word(address, EXPIRY);
    if (index === 0) this.#setWord(address, EXPIRY, this.#expiries.add(address, atMs) + 1);
    else this.#expiries.setAtMs(index - 1, atMs);
  }

  /** False where it had no expiry. */
  persist(address: Address): boolean {
    this.#changesFirst(address);
    return this.#dropExpiry(address);
  }

  /** Some record that has an expiry: `index` below `expiryCount`. */
  expiringAt(index: number): Address {
    return this.#expiries.addressAt(index);
  }

  /** When that record expires, without looking at it. */
  expiringAtMs(index: number): number {
    return this.#expiries.atMs(index);
  }

  /** The same where its time has come, otherwise 0; without looking at the record. */
  dueAt(index: number): Address {
    return this.#expiries.atMs(index) <= this.nowMs ? this.#expiries.addressAt(index) : 0;
  }

  // --- going through ----------------------------------------------------------------------------------------------------------------

  /** As `Dictionary.scan`. */
  scan(cursor: number, visit: (address: Address) => void): number {
    return this.#dictionary.scan(cursor, visit);
  }

  each(visit: (address: Address) => void): void {
    this.#dictionary.each(visit);
  }

  random(random: () => number): Address {
    return this.#dictionary.random(random);
  }

  /** Goes on with growing or shrinking, when there is time; false: there is nothing more to do. */
  tidy(buckets: number): boolean {
    this.#dictionary.move(buckets);
    return this.#dictionary.moving;
  }

  // --- slots ------------------------------------------------------------------------------------------------------------------------

  get #slots(): SlotTable {
    return this.#dictionary as SlotTable; // of `bySlot`, to which alone this is of use
  }

  slotCount(slot: number): number {
    return this.#slots.countOf(slot);
  }

  /** Of a record. */
  slotOf(address: Address): number {
    return this.#slots.slotOf(address);
  }

  /** As `Dictionary.scan`, of one slot. */
  scanSlot(slot: number, cursor: number, visit: (address: Address) => void): number {
    return this.#slots.scanSlot(slot, cursor, visit);
  }

  /** Keys of these slots do not expire for the time being, and are not to be evicted: they are hidden once their time has come. */
  freeze(slots: ReadonlySet<number>): void {
    this.#frozen = slots;
  }

  isFrozen(address: Address): boolean {
    return this.#frozen.size > 0 && this.#frozen.has(this.#slots.slotOf(address));
  }

  /** From now on no record of the slot is walked; those that come are. `meet` gets each other one before it is first changed or removed, and when the walk comes to it. */
  beginWalk(slot: number, meet: (address: Address) => void): void {
    this.#walks.set(slot, meet);
    let cursor = 0;
    do cursor = this.scanSlot(slot, cursor, (address) => this.#setWord(address, META, this.#word(address, META) | UNWALKED_FLAG));
    while (cursor !== 0);
  }

  /** Marks that are left are taken away by who meets them. */
  endWalk(slot: number): void {
    this.#walks.delete(slot);
  }

  isUnwalked(address: Address): boolean {
    return (this.#word(address, META) & UNWALKED_FLAG) !== 0;
  }

  walk(address: Address): void {
    const meta = this.#word(address, META);
    if ((meta & UNWALKED_FLAG) === 0) return;
    this.#setWord(address, META, meta & ~UNWALKED_FLAG);
    if (this.#walks.size > 0) this.#walks.get(this.#slots.slotOf(address))?.(address);
  }

  /** A database for keys that nobody sees until they are adopted; in the same memory, so that this costs nothing for each of them. */
  stage(): Database {
    const stage = new Database(this.index, NO_EVENTS, { bySlot: true, memory: this.#memory });
    stage.useOf = this.useOf;
    stage.nowMs = this.nowMs;
    stage.expiryMode = "keep";
    stage.#snapshotMark = this.#snapshotMark;
    return stage;
  }

  /**
   * Before staged keys are adopted: goes through some of them, so that no snapshot will pass them over; the cursor for the next call, 0 at the end. To be begun anew where
   * a snapshot has begun meanwhile, as `isAligned` says.
   */
  align(stage: Database, cursor: number): number {
    if (cursor === 0) stage.#snapshotMark = this.#snapshotMark;
    return stage.scan(cursor, (address) => stage.#setWord(address, META, (stage.#word(address, META) & ~MARKS_MASK) | stage.#snapshotMark));
  }

  isAligned(stage: Database): boolean {
    return stage.#snapshotMark === this.#snapshotMark;
  }

  /** Takes all that was staged, which is in no snapshot that is under way; what these slots had must be gone. The stage is empty and of no use afterwards. */
  adopt(stage: Database, slots: Iterable<number>): void {
    if (stage.#memory !== this.#memory) return this.#copyFrom(stage);
    for (const slot of slots) this.#slots.exchange(slot, stage.#slots.exchange(slot, undefined));
    for (let index = 0; index < stage.#expiries.count; index++) {
      const address = stage.#expiries.addressAt(index);
      this.#setWord(address, EXPIRY, this.#expiries.add(address, stage.#expiries.atMs(index)) + 1);
    }
    stage.#expiries.clear();
    this.#memory.users--;
  }

  /** This one was cleared or exchanged since. */
  #copyFrom(stage: Database): void {
    stage.each((from) => {
      const key = stage.keyOf(from);
      const object = stage.objectOf(from);
      const to = object === undefined ? this.setStringText(key, stage.stringOf(from)) : this.setObjectText(key, object);
      this.#markRaw(to, stage.isRaw(from));
      this.setUseBits(to, stage.useBitsOf(from));
      const expiry = stage.expiryOf(from);
      if (expiry !== undefined) this.setExpiry(to, expiry);
    });
  }

  /** Slots with records that are dropped bit by bit: nothing may come into them before `dropFrom` has said that none is left. */
  get dropping(): ReadonlyMap<number, unknown> {
    return this.#drops;
  }

  beginDrop(slot: number): void {
    if (!this.#drops.has(slot)) this.#drops.set(slot, 0);
  }

  /** Removes about so many of a slot's records; true: none is left. */
  dropFrom(slot: number, count: number, removing?: (key: string) => void): boolean {
    let cursor = this.#drops.get(slot) ?? 0;
    let left = count;
    do {
      const addresses: Address[] = [];
      cursor = this.scanSlot(slot, cursor, (address) => addresses.push(address));
      for (const address of addresses) {
        removing?.(this.keyOf(address));
        this.remove(address);
      }
      left -= 1 + addresses.length;
    } while (cursor !== 0 && left > 0);
    const isEmpty = this.slotCount(slot) === 0;
    if (isEmpty) this.#drops.delete(slot);
    else this.#drops.set(slot, cursor);
    return isEmpty;
  }

  /** Removes about so many records of a stage that is given up, which has these slots; true: it is of no use any more. */
  discard(slots: Iterable<number>, count: number): boolean {
    const alone = this.#memory.users === 1;
    let left = count;
    if (!alone)
      for (const slot of slots) {
        const before = this.slotCount(slot);
        if (left <= 0 || (before > 0 && !this.dropFrom(slot, left))) return false;
        left -= before;
      }
    this.#memory.users--;
    return true;
  }

  // --- snapshots --------------------------------------------------------------------------------------------------------------------

  /**
   * From now on no record is in the snapshot; those that come from now on are taken to be in it. `before` gets each other one before it is first changed or removed, and
   * `take` is called by who goes through the records. Once all were taken, nothing is left to be done: the next snapshot marks them the other way.
   */
  beginSnapshot(before: (db: Database, address: Address) => void): void {
    this.#snapshotMark ^= SNAPSHOT_FLAG;
    this.#beforeChange = before;
  }

  endSnapshot(): void {
    this.#beforeChange = undefined;
  }

  /** True where the record was not in the snapshot; it is now. */
  takeForSnapshot(address: Address): boolean {
    const meta = this.#word(address, META);
    if ((meta & SNAPSHOT_FLAG) === this.#snapshotMark) return false;
    this.#setWord(address, META, meta ^ SNAPSHOT_FLAG);
    return true;
  }

  #changesFirst(address: Address): void {
    if ((this.#word(address, META) & MARKS_MASK) === this.#snapshotMark) return;
    if (this.takeForSnapshot(address)) this.#beforeChange?.(this, address);
    this.walk(address);
  }

  // --- records ----------------------------------------------------------------------------------------------------------------------

  /** Where the value of a string is to be written, after its key. */
  #placeFor(keyBytes: Uint8Array, from: number, keyLength: number, hash: number, length: number, keepExpiry: boolean): Address {
    const address = this.#dictionary.find(keyBytes, from, keyLength, hash);
    if (address === 0) return this.#add(keyBytes, from, keyLength, hash, length);
    this.#changesFirst(address);
    if (!keepExpiry) this.#dropExpiry(address);
    this.#dropObject(address);
    const to = this.#resized(address, keyLength, length);
    this.#setWord(to, META, this.#word(to, META) & ~CONTENT_FLAGS_MASK);
    return to;
  }

  #putObject(keyBytes: Uint8Array, from: number, length: number, value: Value, keepExpiry: boolean): Address {
    const hash = hashOf(keyBytes, from, length);
    let address = this.#dictionary.find(keyBytes, from, length, hash);
    if (address === 0) address = this.#add(keyBytes, from, length, hash, 0);
    else {
      this.#changesFirst(address);
      if (!keepExpiry) this.#dropExpiry(address);
      this.#dropObject(address, this.objectOf(address) === value);
    }
    this.#setWord(address, META, (this.#word(address, META) & ~CONTENT_FLAGS_MASK) | value.type);
    return this.#becomeObject(address, value);
  }

  #becomeObject(address: Address, value: Value): Address {
    const to = this.#resized(address, this.#word(address, KEY_BYTES), 0);
    this.#setWord(to, VALUE, this.#objects.add(value));
    this.#setWord(to, META, this.#word(to, META) | OBJECT_FLAG);
    return to;
  }

  #add(keyBytes: Uint8Array, from: number, length: number, hash: number, valueBytes: number): Address {
    const address = this.#arena.allocate(HEADER_BYTES + length + valueBytes);
    const record = this.#arena.words[segmentOf(address)]!;
    const word = wordOf(address);
    record[word + HASH] = hash;
    record[word + KEY_BYTES] = length;
    record[word + VALUE] = valueBytes;
    record[word + EXPIRY] = 0;
    record[word + META] = (this.useOf(-1) << USE_SHIFT) | this.#snapshotMark;
    copyInto(this.#arena.bytes[segmentOf(address)]!, byteOf(address) + HEADER_BYTES, keyBytes, from, length);
    this.#dictionary.insert(address);
    if (this.tellsAdded) this.#events.added(this, this.keyOf(address));
    return address;
  }

  /** Makes room for a value of so many bytes in the record, elsewhere if need be; the value's bytes are not taken along. */
  #resized(address: Address, keyBytes: number, valueBytes: number): Address {
    const before = this.#recordBytes(address);
    const after = HEADER_BYTES + keyBytes + valueBytes;
    if (sameRecord(before, after)) {
      this.#setWord(address, VALUE, valueBytes);
      return address;
    }
    const to = this.#arena.allocate(after);
    const source = this.#arena.bytes[segmentOf(address)]!;
    source.copy(this.#arena.bytes[segmentOf(to)]!, byteOf(to), byteOf(address), byteOf(address) + HEADER_BYTES + keyBytes);
    this.#dictionary.replace(address, to);
    const expiry = this.#word(to, EXPIRY);
    if (expiry !== 0) this.#expiries.setAddress(expiry - 1, to);
    this.#arena.free(address, before);
    this.#setWord(to, VALUE, valueBytes);
    return to;
  }

  #free(address: Address): void {
    this.#arena.free(address, this.#recordBytes(address));
  }

  /** What was asked of the arena for it. */
  #recordBytes(address: Address): number {
    const value = (this.#word(address, META) & OBJECT_FLAG) === 0 ? this.#word(address, VALUE) : 0;
    return HEADER_BYTES + this.#word(address, KEY_BYTES) + value;
  }

  /** Bytes that a key takes: its record and its object. */
  bytesOf(address: Address): number {
    return recordBytesOf(this.#recordBytes(address)) + (this.objectOf(address)?.bytes ?? 0);
  }

  #dropExpiry(address: Address): boolean {
    const index = this.#word(address, EXPIRY);
    if (index === 0) return false;
    const moved = this.#expiries.remove(index - 1);
    if (moved !== 0) this.#setWord(moved, EXPIRY, index);
    this.#setWord(address, EXPIRY, 0);
    return true;
  }

  #dropObject(address: Address, kept = false): void {
    const meta = this.#word(address, META);
    if ((meta & OBJECT_FLAG) === 0) return;
    this.#objects.remove(this.#word(address, VALUE), kept);
    this.#setWord(address, VALUE, 0);
    this.#setWord(address, META, meta & ~OBJECT_FLAG);
  }

  #word(address: Address, field: number): number {
    return this.#arena.words[segmentOf(address)]![wordOf(address) + field]!;
  }

  #setWord(address: Address, field: number, value: number): void {
    this.#arena.words[segmentOf(address)]![wordOf(address) + field] = value;
  }

  /** The bytes of a key, until the next one is encoded. */
  #encoded(key: string): Buffer {
    if (key.length > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(2 * key.length);
    writeLatin1(this.#scratch, key);
    return this.#scratch;
  }
}

/** Characters of a safe integer. */
const integerLength = (value: number): number => (value < 0 ? 1 : 0) + digitsOf(Math.abs(value));

/** Writes a safe integer of so many characters. */
function writeInteger(bytes: Uint8Array, from: number, length: number, value: number): void {
  let at = from + length;
  let left = Math.abs(value);
  for (; left > INT32_MAX; left = Math.floor(left / 10)) bytes[--at] = 48 + (left % 10);
  do {
    bytes[--at] = 48 + (left % 10);
    left = (left / 10) | 0;
  } while (left > 0);
  if (value < 0) bytes[from] = 45;
}

function digitsOf(value: number): number {
  let digits = 1;
  for (let limit = 10; value >= limit; limit *= 10) digits++;
  return digits;
}
