import { LuaError } from "./error.ts";
import type { LuaValue } from "./value.ts";

/** Up to so many keys are searched one by one. */
const SCANNED_KEYS_MAX = 8;

/**
 * A table: values at 1, 2, 3, … lie in an array, which never ends with nil, so that its length is what `#` answers; others by their key, in the order
 * in which they came. As in Lua a key whose value became nil stays until another is added, so that a traversal may remove what it finds.
 */
export class LuaTable {
  metatable: LuaTable | undefined = undefined;
  /** Nothing can be assigned, neither its metatable. */
  isReadonly = false;
  #array: LuaValue[];
  #keys: LuaValue[] | undefined = undefined;
  #values: LuaValue[] = NONE;
  #slots: Map<LuaValue, number> | undefined = undefined;
  /** Keys with a value. */
  #live = 0;
  #hasNumbers = false;

  /** The values, from 1 on, become the table's own. */
  constructor(values: LuaValue[] = []) {
    this.#array = values;
    if (values.length > 0 && values[values.length - 1] === undefined) this.#trim();
  }

  /** What `#` answers. */
  get length(): number {
    return this.#array.length;
  }

  get(key: LuaValue): LuaValue {
    if (typeof key === "number") return this.at(key);
    if (this.#keys === undefined) return undefined;
    return this.#valueOf(key);
  }

  at(index: number): LuaValue {
    if (index >= 1 && index <= this.#array.length) {
      const value = this.#array[index - 1];
      if (value !== undefined) return value;
    }
    return this.#hasNumbers ? this.#valueOf(index) : undefined;
  }

  named(name: string): LuaValue {
    return this.#keys === undefined ? undefined : this.#valueOf(name);
  }

  set(key: LuaValue, value: LuaValue): void {
    if (this.isReadonly) throw readonlyTable();
    if (typeof key === "number") this.#setAt(key, value);
    else if (key === undefined) throw new LuaError("table index is nil");
    else this.#setValue(key, value);
  }

  setNamed(name: string, value: LuaValue): void {
    if (this.isReadonly) throw readonlyTable();
    this.#setValue(name, value);
  }

  /** Adds a value behind the last one. */
  push(value: LuaValue): void {
    if (this.isReadonly) throw readonlyTable();
    if (value === undefined) return;
    this.#array.push(value);
    if (this.#hasNumbers) this.#migrate();
  }

  /** Makes room at an index of the array, or closes the gap of the value that it takes away. */
  insert(index: number, value: LuaValue): void {
    if (this.isReadonly) throw readonlyTable();
    this.#array.splice(index - 1, 0, value);
    if (value === undefined) this.#trim();
    if (this.#hasNumbers) this.#migrate();
  }

  remove(index: number): LuaValue {
    if (this.isReadonly) throw readonlyTable();
    const value = index === this.#array.length ? this.#array.pop() : this.#array.splice(index - 1, 1)[0];
    this.#trim();
    return value;
  }

  /** The values of the array, not copied. */
  get values(): readonly LuaValue[] {
    return this.#array;
  }

  /** Takes values that were sorted. */
  replaceValues(values: LuaValue[]): void {
    if (this.isReadonly) throw readonlyTable();
    this.#array = values;
    this.#trim();
  }

  /** Where a traversal goes on after this key: a position for `keyAt`, `valueAt`, -1 at the end. Undefined: it has no such key. */
  positionAfter(key: LuaValue): number | undefined {
    if (key === undefined) return this.#found(0);
    if (typeof key === "number" && Number.isInteger(key) && key >= 1 && key <= this.#array.length) return this.#found(key);
    const slot = this.#keys === undefined ? -1 : this.#slotOf(key);
    if (slot >= 0) return this.#found(this.#array.length + slot + 1);
    // The array has become shorter in the meantime.
    return typeof key === "number" && Number.isInteger(key) && key >= 1 ? this.#found(this.#array.length) : undefined;
  }

  /** The next position with a value, from this one on; -1: there is none. */
  #found(from: number): number {
    const array = this.#array;
    let position = from;
    for (; position < array.length; position++) if (array[position] !== undefined) return position;
    const count = this.#keys?.length ?? 0;
    for (let slot = position - array.length; slot < count; slot++) if (this.#values[slot] !== undefined) return array.length + slot;
    return -1;
  }

  keyAt(position: number): LuaValue {
    return position < this.#array.length ? position + 1 : this.#keys![position - this.#array.length];
  }

  valueAt(position: number): LuaValue {
    return position < this.#array.length ? this.#array[position] : this.#values[position - this.#array.length];
  }

  #valueOf(key: LuaValue): LuaValue {
    const slot = this.#slotOf(key);
    return slot < 0 ? undefined : this.#values[slot];
  }

  #slotOf(key: LuaValue): number {
    if (this.#slots !== undefined) return this.#slots.get(key) ?? -1;
    const keys = this.#keys!;
    for (let slot = 0; slot < keys.length; slot++) if (keys[slot] === key) return slot;
    return -1;
  }

  #setAt(index: number, value: LuaValue): void {
    const array = this.#array;
    const { length } = array;
    if (index >= 1 && index <= length && Number.isInteger(index)) {
      array[index - 1] = value;
      if (value === undefined && index === length) this.#trim();
    } else if (index === length + 1) {
      if (value === undefined) return;
      array.push(value);
      if (this.#hasNumbers) this.#migrate();
    } else {
      if (Number.isNaN(index)) throw new LuaError("table index is NaN");
      if (value !== undefined) this.#hasNumbers = true;
      if (this.#hasNumbers) this.#setValue(index, value);
    }
  }

  #setValue(key: LuaValue, value: LuaValue): void {
    if (this.#keys === undefined) {
      if (value === undefined) return;
      this.#keys = [];
      this.#values = [];
    }
    const slot = this.#slotOf(key);
    if (slot >= 0) {
      if ((this.#values[slot] === undefined) !== (value === undefined)) this.#live += value === undefined ? -1 : 1;
      this.#values[slot] = value;
      return;
    }
    if (value === undefined) return;
    if (this.#keys.length >= 2 * SCANNED_KEYS_MAX && this.#live * 2 < this.#keys.length) this.#compact();
    this.#slots?.set(key, this.#keys.length);
    this.#keys.push(key);
    this.#values.push(value);
    this.#live++;
    if (this.#slots === undefined && this.#keys.length > SCANNED_KEYS_MAX) this.#index();
  }

  #index(): void {
    this.#slots = new Map();
    for (let slot = 0; slot < this.#keys!.length; slot++) this.#slots.set(this.#keys![slot], slot);
  }

  /** Drops keys without a value. */
  #compact(): void {
    const values = this.#values;
    this.#keys = this.#keys!.filter((_, slot) => values[slot] !== undefined);
    this.#values = values.filter((value) => value !== undefined);
    this.#slots = undefined;
    if (this.#keys.length > SCANNED_KEYS_MAX) this.#index();
  }

  /** Values that follow the array's last one move into it. */
  #migrate(): void {
    for (;;) {
      const value = this.#valueOf(this.#array.length + 1);
      if (value === undefined) return;
      this.#setValue(this.#array.length + 1, undefined);
      this.#array.push(value);
    }
  }

  #trim(): void {
    const array = this.#array;
    while (array.length > 0 && array[array.length - 1] === undefined) array.pop();
  }
}

const NONE: LuaValue[] = [];

export const READONLY = "Attempt to modify a readonly table";
const readonlyTable = (): LuaError => new LuaError(READONLY);
