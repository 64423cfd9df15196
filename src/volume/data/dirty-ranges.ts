import { BLOB_BYTES_MAX } from "../meta/extents.ts";
import type { SlotBuffers } from "./slot-buffers.ts";

/** Content that was written and lies in no blob yet. */
export interface DirtyRange {
  readonly position: number;
  readonly data: Uint8Array;
}

/** A range that was taken away: who has it gives `buffer` back. */
export interface TakenRange extends DirtyRange {
  readonly buffer: Uint8Array;
}

interface Range {
  position: number;
  /** Of at least `length` bytes. */
  buffer: Uint8Array;
  length: number;
}

/** From here on a range gets a buffer for a whole slot. */
const LARGE = 256 * 1024;

const endOf = (range: Range): number => range.position + range.length;
const slotOf = (position: number): number => Math.floor(position / BLOB_BYTES_MAX);
const slotEnd = (position: number): number => (slotOf(position) + 1) * BLOB_BYTES_MAX;

/**
 * What was written to one file, as ranges without overlap in order. A range lies within one *slot* of the size of a blob, so that writing
 * in order makes whole blobs at places that are multiples of it.
 */
export class DirtyRanges {
  readonly #ranges: Range[] = [];
  readonly #buffers: SlotBuffers;
  #bytes = 0;

  constructor(buffers: SlotBuffers) {
    this.#buffers = buffers;
  }

  /** Memory that the ranges occupy. */
  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#ranges.length;
  }

  /** Takes a copy. Later content wins. */
  write(position: number, bytes: Uint8Array): void {
    for (let from = position, end = position + bytes.length; from < end;) {
      const to = Math.min(end, slotEnd(from));
      this.#put(from, bytes.subarray(from - position, to - position));
      from = to;
    }
  }

  /** Puts content below what is there already: earlier content that was not known. */
  writeUnder(position: number, bytes: Uint8Array): void {
    const copy = Buffer.from(bytes);
    this.overlay(position, copy);
    if (copy.length > 0) this.write(position, copy);
  }

  /** Copies what touches `[offset, offset + into.length)` over `into`. */
  overlay(offset: number, into: Uint8Array): void {
    const end = offset + into.length;
    for (let index = this.#firstEndingAfter(offset); index < this.#ranges.length; index++) {
      const range = this.#ranges[index]!; // below the length
      if (range.position >= end) break;
      const from = Math.max(offset, range.position);
      const to = Math.min(end, endOf(range));
      into.set(range.buffer.subarray(from - range.position, to - range.position), from - offset);
    }
  }

  /** Takes away the slot that the last write filled, if it did. */
  takeFull(position: number): TakenRange | undefined {
    const index = this.#firstEndingAfter(position);
    const range = this.#ranges[index];
    return range?.length === BLOB_BYTES_MAX ? this.#take(index) : undefined;
  }

  /** All of them; they stay. */
  list(): readonly DirtyRange[] {
    return this.#ranges.map(({ position, buffer, length }) => ({ position, data: buffer.subarray(0, length) }));
  }

  clear(): void {
    for (const { buffer } of this.#ranges) this.#buffers.give(buffer);
    this.#ranges.length = 0;
    this.#bytes = 0;
  }

  #take(index: number): TakenRange {
    const { position, buffer, length } = this.#ranges[index]!; // the index was just found
    this.#ranges.splice(index, 1);
    this.#bytes -= buffer.length;
    return { position, data: buffer.subarray(0, length), buffer };
  }

  #bufferFor(bytes: number): Uint8Array {
    return bytes > LARGE ? this.#buffers.take() : Buffer.allocUnsafeSlow(bytes);
  }

  #put(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    const slot = slotOf(position);
    // The first that ends at or behind the position: what is written in order grows its neighbour.
    let index = this.#firstEndingAfter(position - 1);
    while (index < this.#ranges.length && slotOf(this.#ranges[index]!.position) < slot) index++;
    const first = this.#ranges[index];
    const next = this.#ranges[index + 1];
    if (first !== undefined && first.position <= position && (next === undefined || next.position > end || slotOf(next.position) !== slot))
      return this.#extend(first, position, bytes);
    let last = index;
    while (last < this.#ranges.length && this.#ranges[last]!.position <= end && slotOf(this.#ranges[last]!.position) === slot) last++;
    this.#replace(index, last, position, bytes);
  }

  /** Over and behind one range, which touches no other then. */
  #extend(range: Range, position: number, bytes: Uint8Array): void {
    const length = Math.max(range.length, position + bytes.length - range.position);
    if (length > range.buffer.length) {
      const buffer = this.#bufferFor(Math.max(length, range.buffer.length * 2));
      buffer.set(range.buffer.subarray(0, range.length));
      this.#bytes += buffer.length - range.buffer.length;
      this.#buffers.give(range.buffer);
      range.buffer = buffer;
    }
    range.buffer.set(bytes, position - range.position);
    range.length = length;
  }

  /** One range in place of those from `index` to `last`, which it touches. */
  #replace(index: number, last: number, position: number, bytes: Uint8Array): void {
    const old = this.#ranges.slice(index, last);
    const from = Math.min(position, old[0]?.position ?? position);
    const end = Math.max(position + bytes.length, old.length === 0 ? 0 : endOf(old.at(-1)!)); // not empty
    const buffer = this.#bufferFor(end - from);
    for (const range of old) {
      buffer.set(range.buffer.subarray(0, range.length), range.position - from);
      this.#bytes -= range.buffer.length;
      this.#buffers.give(range.buffer);
    }
    buffer.set(bytes, position - from);
    this.#bytes += buffer.length;
    this.#ranges.splice(index, old.length, { position: from, buffer, length: end - from });
  }

  #firstEndingAfter(offset: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (endOf(this.#ranges[middle]!) > offset) high = middle; // below the length
      else low = middle + 1;
    }
    return low;
  }
}
