import { STREAM, type Value } from "../keyspace/value.ts";
import { indexFrom } from "./ordered-ids.ts";
import type { StreamGroup } from "./stream-group.ts";
import { ID_MIN, type StreamId } from "./stream-id.ts";

/** An entry: its id, and fields and values in turn. */
export interface StreamEntry {
  readonly id: StreamId;
  readonly fields: readonly string[];
}

/** How large a block becomes; 0: no bound. Trimming that need not be exact takes whole blocks. */
export interface BlockLimits {
  readonly entriesMax: number;
  readonly bytesMax: number;
}

export interface Trim {
  /** What it leaves: so many entries, or those from an id on. */
  readonly to: { readonly length: number } | { readonly from: StreamId };
  /** Whole blocks only, so that it costs little. */
  readonly nearly: boolean;
  /** Entries that go at most; undefined: any number. */
  readonly limit: number | undefined;
}

/** Entries that were added one after the other. Some may have been deleted since, never all. */
interface Block {
  readonly entries: StreamEntry[];
  /** With those deleted since. */
  added: number;
  /** Packed. */
  bytes: number;
}

const STREAM_BYTES = 200;
const ENTRY_BYTES = 72;
const FIELD_BYTES = 24;

/** Entries in the order of their ids, and the groups that read them. */
export class StreamValue implements Value {
  readonly type = STREAM;
  readonly encoding = "stream";
  readonly groups = new Map<string, StreamGroup>();
  readonly #blocks: Block[] = [];
  #size = 0;
  #bytes = 0;
  /** The last id ever given. */
  lastId: StreamId = ID_MIN;
  /** The largest id ever deleted; 0: none. */
  deletedMax: StreamId = ID_MIN;
  /** Entries ever added. */
  added = 0;

  get size(): number {
    return this.#size;
  }

  get blockCount(): number {
    return this.#blocks.length;
  }

  get bytes(): number {
    let bytes = this.#bytes + STREAM_BYTES;
    for (const group of this.groups.values()) bytes += group.bytes;
    return bytes;
  }

  get first(): StreamEntry | undefined {
    return this.#blocks[0]?.entries[0];
  }

  get last(): StreamEntry | undefined {
    return this.#blocks.at(-1)?.entries.at(-1);
  }

  /** Adds an entry whose id is above all others. */
  add(id: StreamId, fields: readonly string[], limits: BlockLimits): void {
    const bytes = bytesOf(fields);
    const packed = packedBytesOf(fields);
    let block = this.#blocks.at(-1);
    if (block === undefined || isFull(block, packed, limits)) {
      block = { entries: [], added: 0, bytes: 0 };
      this.#blocks.push(block);
    }
    block.entries.push({ id, fields });
    block.added++;
    block.bytes += packed;
    this.#size++;
    this.#bytes += bytes;
    this.added++;
    this.lastId = id;
  }

  get(id: StreamId): StreamEntry | undefined {
    const block = this.#blocks[this.#blockFrom(id)];
    const entry = block?.entries[indexFrom(block.entries, id)];
    return entry?.id === id ? entry : undefined;
  }

  /** Entries between two ids, both included, at most so many. */
  range(from: StreamId, to: StreamId, count = Infinity): StreamEntry[] {
    const found: StreamEntry[] = [];
    for (let b = this.#blockFrom(from); b < this.#blocks.length; b++) {
      const { entries } = this.#blocks[b]!;
      for (let i = indexFrom(entries, from); i < entries.length; i++) {
        if (entries[i]!.id > to || found.length >= count) return found;
        found.push(entries[i]!);
      }
    }
    return found;
  }

  /** The same from the last to the first. */
  rangeBackwards(from: StreamId, to: StreamId, count = Infinity): StreamEntry[] {
    const found: StreamEntry[] = [];
    for (let b = Math.min(this.#blockFrom(to), this.#blocks.length - 1); b >= 0; b--) {
      const { entries } = this.#blocks[b]!;
      for (let i = Math.min(indexFrom(entries, to), entries.length - 1); i >= 0; i--) {
        if (entries[i]!.id > to) continue;
        if (entries[i]!.id < from || found.length >= count) return found;
        found.push(entries[i]!);
      }
    }
    return found;
  }

  delete(id: StreamId): boolean {
    const b = this.#blockFrom(id);
    const block = this.#blocks[b];
    const i = block === undefined ? -1 : indexFrom(block.entries, id);
    const entry = block?.entries[i];
    if (block === undefined || entry?.id !== id) return false;
    block.entries.splice(i, 1);
    this.#forget(entry);
    if (block.entries.length === 0) this.#blocks.splice(b, 1);
    if (id > this.deletedMax) this.deletedMax = id;
    return true;
  }

  /** How many entries went. */
  trim({ to, nearly, limit = Infinity }: Trim): number {
    const size = this.#size;
    while (this.#blocks.length > 0) {
      const { entries } = this.#blocks[0]!;
      const gone = size - this.#size;
      const wholeGoes = "length" in to ? this.#size - entries.length >= to.length : entries.at(-1)!.id < to.from;
      if (wholeGoes && gone + entries.length <= limit) {
        for (const entry of entries) this.#forget(entry);
        this.#blocks.shift();
        continue;
      }
      if (nearly) break;
      let cut = 0;
      while (cut < entries.length && gone + cut < limit && ("length" in to ? this.#size > to.length : entries[cut]!.id < to.from))
        this.#forget(entries[cut++]!);
      entries.splice(0, cut);
      break;
    }
    return size - this.#size;
  }

  *parts(): Iterable<string> {
    for (const { entries } of this.#blocks)
      for (const { id, fields } of entries) yield `${id}${fields.map((field) => `:${field.length}:${field}`).join("")}`;
  }

  copy(): StreamValue {
    const copy = new StreamValue();
    for (const { entries, added, bytes } of this.#blocks) copy.#blocks.push({ entries: [...entries], added, bytes });
    copy.#size = this.#size;
    copy.#bytes = this.#bytes;
    copy.lastId = this.lastId;
    copy.deletedMax = this.deletedMax;
    copy.added = this.added;
    for (const [name, group] of this.groups) copy.groups.set(name, group.copy());
    return copy;
  }

  /** Entries that were ever added up to this id; undefined where deletions make it uncertain. */
  addedUpTo(id: StreamId): number | undefined {
    if (this.added === 0) return 0;
    if (id === this.lastId || (this.#size === 0 && id < this.lastId)) return this.added;
    if (id > this.lastId) return undefined;
    const first = this.first!.id;
    if (this.deletedMax !== ID_MIN && this.deletedMax >= first) return undefined;
    if (id < first) return this.added - this.#size;
    return id === first ? this.added - this.#size + 1 : undefined;
  }

  /** Whether something above this id was deleted while the entries before and behind it are still there. */
  hasGapAfter(id: StreamId): boolean {
    return this.#size > 0 && this.deletedMax !== ID_MIN && this.deletedMax >= this.first!.id && id <= this.deletedMax;
  }

  /** Entries that a group has not been given yet; undefined where deletions make it uncertain. */
  lagOf(group: StreamGroup): number | undefined {
    if (this.added === 0) return 0;
    if (group.entriesRead !== undefined && !this.hasGapAfter(group.lastId)) return this.added - group.entriesRead;
    const read = this.addedUpTo(group.lastId);
    return read === undefined ? undefined : this.added - read;
  }

  #forget(entry: StreamEntry): void {
    this.#size--;
    this.#bytes -= bytesOf(entry.fields);
  }

  /** The block that has this id, or the first one after it. */
  #blockFrom(id: StreamId): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#blocks[middle]!.entries.at(-1)!.id < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const isFull = (block: Block, bytes: number, { entriesMax, bytesMax }: BlockLimits): boolean =>
  (entriesMax > 0 && block.added >= entriesMax) || (bytesMax > 0 && block.bytes + bytes > bytesMax);

/** What an entry takes packed as in Redis' blocks, whose size the limits are for: ids as differences, a length and its text for each field. */
function packedBytesOf(fields: readonly string[]): number {
  let bytes = 8;
  for (const field of fields) bytes += field.length + 2;
  return bytes;
}

function bytesOf(fields: readonly string[]): number {
  let bytes = ENTRY_BYTES;
  for (const field of fields) bytes += field.length + FIELD_BYTES;
  return bytes;
}
