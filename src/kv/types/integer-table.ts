import { randomInt } from "node:crypto";
import { safeIntegerOf } from "./integers.ts";

const SLOTS_MIN = 16;
/** Without it somebody could choose integers that all want the same slot. */
const SECRET = randomInt(2 ** 32) | 0;

/**
 * A large set of integers of at most 15 digits, in typed arrays: 16 bytes each or so, and nothing for the garbage collector to look at. Values lie at positions
 * from 0 on, the last takes the place of one that is removed; slots, found by hash and tried one after the other, say at which position a value lies.
 */
export class IntegerTable {
  readonly encoding = "hashtable";
  #values = new Float64Array(SLOTS_MIN / 2);
  /** Position plus one; 0: free. Twice as many as there is room for values. */
  #slots = new Int32Array(SLOTS_MIN);
  #count = 0;

  get size(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#values.byteLength + this.#slots.byteLength;
  }

  at(position: number): string {
    return String(this.#values[position]!);
  }

  has(member: string): boolean {
    const value = safeIntegerOf(member);
    return !Number.isNaN(value) && this.#slots[this.#slotOf(value)] !== 0;
  }

  /** Undefined: it is no such integer, so it cannot be added. */
  add(member: string): boolean | undefined {
    const value = safeIntegerOf(member);
    if (Number.isNaN(value)) return undefined;
    let slot = this.#slotOf(value);
    if (this.#slots[slot] !== 0) return false;
    if (this.#count === this.#values.length) {
      this.#resize(2 * this.#values.length);
      slot = this.#slotOf(value);
    }
    this.#values[this.#count] = value;
    this.#slots[slot] = ++this.#count;
    return true;
  }

  remove(member: string): boolean {
    const value = safeIntegerOf(member);
    if (Number.isNaN(value)) return false;
    const slot = this.#slotOf(value);
    if (this.#slots[slot] === 0) return false;
    this.#removeSlot(slot);
    return true;
  }

  removeAt(position: number): void {
    this.#removeSlot(this.#slotOf(this.#values[position]!));
  }

  copy(): IntegerTable {
    const copy = new IntegerTable();
    copy.#values = this.#values.slice();
    copy.#slots = this.#slots.slice();
    copy.#count = this.#count;
    return copy;
  }

  #removeSlot(slot: number): void {
    const position = this.#slots[slot]! - 1;
    const last = --this.#count;
    if (position !== last) {
      const moved = this.#values[last]!;
      this.#slots[this.#slotOf(moved)] = position + 1;
      this.#values[position] = moved;
    }
    this.#close(slot);
    if (this.#count * 8 < this.#values.length && this.#slots.length > SLOTS_MIN) this.#resize(this.#values.length / 2);
  }

  /** Frees a slot, and moves into it what lies further than it would have to. */
  #close(free: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let gap = free;
    for (let slot = (gap + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const wanted = hashOf(this.#values[slots[slot]! - 1]!) & mask;
      if (((slot - wanted) & mask) < ((slot - gap) & mask)) continue;
      slots[gap] = slots[slot]!;
      gap = slot;
    }
    slots[gap] = 0;
  }

  /** The slot that the value has, or would get. */
  #slotOf(value: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashOf(value) & mask;
    while (slots[slot] !== 0 && this.#values[slots[slot]! - 1] !== value) slot = (slot + 1) & mask;
    return slot;
  }

  #resize(room: number): void {
    const values = new Float64Array(room);
    values.set(this.#values.subarray(0, this.#count));
    this.#values = values;
    this.#slots = new Int32Array(2 * room);
    for (let i = 0; i < this.#count; i++) this.#slots[this.#slotOf(values[i]!)] = i + 1;
  }
}

/** Mixes both halves of the integer as MurmurHash3 ends (Austin Appleby). */
function hashOf(value: number): number {
  let h = (value | 0) ^ SECRET ^ Math.imul((value / 2 ** 32) | 0, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
