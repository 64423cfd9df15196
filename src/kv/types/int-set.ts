import { integerOf } from "./integers.ts";

const ITEM_BYTES = 8;
/** Of an array besides its places. */
const ARRAY_BYTES = 32;

/** A small set of 64-bit integers: one sorted array. Numbers up to 15 digits, bigints beyond; the two compare exactly. */
export class IntSet {
  readonly encoding = "intset";
  #values: (number | bigint)[] = [];
  /** What V8 has made the array long for: half as much again as it needed, and 16, each time when it was full. */
  #places = 0;

  get size(): number {
    return this.#values.length;
  }

  get bytes(): number {
    return ARRAY_BYTES + this.#places * ITEM_BYTES;
  }

  /** None needs more than 15 digits. */
  get safe(): boolean {
    return typeof this.#values[0] !== "bigint" && typeof this.#values.at(-1) !== "bigint";
  }

  at(position: number): string {
    return String(this.#values[position]!);
  }

  has(member: string): boolean {
    const value = integerOf(member);
    return value !== undefined && this.#values[this.#placeOf(value)] === value;
  }

  /** Undefined: it is no integer, so it cannot be added. */
  add(member: string): boolean | undefined {
    const value = integerOf(member);
    if (value === undefined) return undefined;
    const values = this.#values;
    const place = this.#placeOf(value);
    if (values[place] === value) return false;
    values.push(value);
    if (values.length > this.#places) this.#places = values.length + (values.length >>> 1) + 16;
    for (let i = values.length - 1; i > place; i--) values[i] = values[i - 1]!;
    values[place] = value;
    return true;
  }

  remove(member: string): boolean {
    const value = integerOf(member);
    if (value === undefined) return false;
    const place = this.#placeOf(value);
    if (this.#values[place] !== value) return false;
    this.#values.splice(place, 1);
    return true;
  }

  removeAt(position: number): void {
    this.#values.splice(position, 1);
  }

  copy(): IntSet {
    const copy = new IntSet();
    copy.#values = [...this.#values];
    copy.#places = this.#values.length;
    return copy;
  }

  /** Position of the first that is not below. */
  #placeOf(value: number | bigint): number {
    const values = this.#values;
    let low = 0;
    let high = values.length;
    if (high > 0 && values[high - 1]! < value) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (values[middle]! < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
