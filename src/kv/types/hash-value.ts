import { HASH_TYPE, type Value } from "../keyspace/value.ts";
import { scanDown } from "./scan-down.ts";
import { StringTable } from "./string-table.ts";

/** Of the hash itself, with its arrays. */
const HASH_BYTES = 160;
/** Of a string: its header, its place in the array, and half of what its length is rounded up by. */
const VALUE_BYTES = 28;

/** When a hash is no longer named `listpack`: `hash-max-listpack-entries` and `-value`. */
export interface HashLimits {
  readonly entriesMax: number;
  readonly bytesMax: number;
}

/** A hash: fields with values, at positions from 0 to `size`; while it is small in the order in which they came. */
export class HashValue implements Value {
  readonly type = HASH_TYPE;
  #fields = new StringTable();
  readonly #values: string[] = [];
  #valueChars = 0;
  #small = true;

  get encoding(): string {
    return this.#small ? "listpack" : "hashtable";
  }

  get bytes(): number {
    return HASH_BYTES + this.#fields.bytes + this.#valueChars + this.#values.length * VALUE_BYTES;
  }

  get size(): number {
    return this.#values.length;
  }

  fieldAt(position: number): string {
    return this.#fields.at(position);
  }

  valueAt(position: number): string {
    return this.#values[position]!;
  }

  get(field: string): string | undefined {
    const position = this.#fields.find(field);
    return position < 0 ? undefined : this.#values[position];
  }

  has(field: string): boolean {
    return this.#fields.find(field) >= 0;
  }

  /** True where the field is new. */
  set(field: string, value: string, limits: HashLimits): boolean {
    const position = this.#fields.find(field);
    this.#valueChars += value.length;
    if (position >= 0) {
      this.#valueChars -= this.#values[position]!.length;
      this.#values[position] = value;
    } else {
      this.#fields.push(field);
      this.#values.push(value);
    }
    if (this.#small && (value.length > limits.bytesMax || field.length > limits.bytesMax || this.#values.length > limits.entriesMax))
      this.#small = false;
    return position < 0;
  }

  /** False where it is not there. */
  delete(field: string): boolean {
    const position = this.#fields.find(field);
    if (position < 0) return false;
    this.#valueChars -= this.#values[position]!.length;
    this.#fields.removeBeside(this.#values, position);
    this.#fields.removeAt(position);
    return true;
  }

  /** As `scanDown`; one named `listpack` is visited whole. */
  scan(cursor: number, count: number, visit: (position: number) => void): number {
    return scanDown(cursor, this.size, this.#small ? Infinity : count, visit);
  }

  *parts(): Iterable<string> {
    for (let position = 0; position < this.size; position++) {
      const field = this.fieldAt(position);
      yield `${field.length}:${field}${this.valueAt(position)}`;
    }
  }

  copy(): HashValue {
    const copy = new HashValue();
    copy.#fields = this.#fields.copy();
    for (const value of this.#values) copy.#values.push(value);
    copy.#valueChars = this.#valueChars;
    copy.#small = this.#small;
    return copy;
  }
}
