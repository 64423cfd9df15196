import { HASH_TYPE, type Value } from "../keyspace/value.ts";
import {
  afterItem,
  canReplace,
  countOf,
  findPacked,
  hasRoom,
  itemAt,
  NOTHING_PACKED,
  offsetOf,
  withoutItems,
  withPair,
  withReplaced,
} from "./packed.ts";
import { scanDown } from "./scan-down.ts";
import { removeSwapping, StringTable } from "./string-table.ts";

/** Of the hash itself, with the text that it is packed in. */
const HASH_BYTES = 100;
/** Of a string: its header, its place in the array, and half of what its length is rounded up by. */
const VALUE_BYTES = 28;

/** When a hash is no longer named `listpack`: `hash-max-listpack-entries` and `-value`. */
export interface HashLimits {
  readonly entriesMax: number;
  readonly bytesMax: number;
}

/** Fields at positions from 0 on, and their values at the same. */
interface Table {
  readonly fields: StringTable;
  readonly values: string[];
}

/** A hash: a few short fields and values packed in their order, field and value in turn; otherwise a table. It never goes back. */
export class HashValue implements Value {
  readonly type = HASH_TYPE;
  #packed = NOTHING_PACKED;
  #table: Table | undefined;
  #valueChars = 0;
  #named: "listpack" | "hashtable" = "listpack";

  get encoding(): string {
    return this.#named;
  }

  get bytes(): number {
    const table = this.#table;
    if (table === undefined) return HASH_BYTES + this.#packed.length;
    return HASH_BYTES + table.fields.bytes + this.#valueChars + table.values.length * VALUE_BYTES;
  }

  get size(): number {
    return this.#table === undefined ? countOf(this.#packed) >> 1 : this.#table.values.length;
  }

  fieldAt(position: number): string {
    return this.#table === undefined ? itemAt(this.#packed, offsetOf(this.#packed, 2 * position)) : this.#table.fields.at(position);
  }

  valueAt(position: number): string {
    return this.#table === undefined ? itemAt(this.#packed, offsetOf(this.#packed, 2 * position + 1)) : this.#table.values[position]!;
  }

  /** Visits all fields with their values. */
  each(visit: (field: string, value: string) => void): void {
    const table = this.#table;
    const packed = this.#packed;
    if (table !== undefined)
      for (let position = 0; position < table.values.length; position++) visit(table.fields.at(position), table.values[position]!);
    else
      for (let field = 1; field < packed.length;) {
        const value = afterItem(packed, field);
        visit(itemAt(packed, field), itemAt(packed, value));
        field = afterItem(packed, value);
      }
  }

  get(field: string): string | undefined {
    if (this.#table !== undefined) {
      const position = this.#table.fields.find(field);
      return position < 0 ? undefined : this.#table.values[position];
    }
    const offset = findPacked(this.#packed, field, 2);
    return offset < 0 ? undefined : itemAt(this.#packed, afterItem(this.#packed, offset));
  }

  has(field: string): boolean {
    return (this.#table === undefined ? findPacked(this.#packed, field, 2) : this.#table.fields.find(field)) >= 0;
  }

  /** True where the field is new. */
  set(field: string, value: string, limits: HashLimits): boolean {
    const added = this.#table === undefined ? this.#setPacked(field, value) : this.#setIn(this.#table, field, value);
    if (this.#named === "listpack" && (value.length > limits.bytesMax || field.length > limits.bytesMax || this.size > limits.entriesMax))
      this.#named = "hashtable";
    return added;
  }

  #setPacked(field: string, value: string): boolean {
    const packed = this.#packed;
    const offset = findPacked(packed, field, 2);
    if (offset < 0 ? !hasRoom(packed, field, value) : !canReplace(packed, value)) return this.#setIn(this.#becomeTable(), field, value);
    if (offset < 0) {
      this.#packed = withPair(packed, field, value);
      return true;
    }
    const at = afterItem(packed, offset);
    if (itemAt(packed, at) !== value) this.#packed = withReplaced(packed, at, value);
    return false;
  }

  #setIn({ fields, values }: Table, field: string, value: string): boolean {
    const position = fields.find(field);
    this.#valueChars += value.length;
    if (position < 0) {
      fields.push(field);
      values.push(value);
      return true;
    }
    this.#valueChars -= values[position]!.length;
    values[position] = value;
    return false;
  }

  #becomeTable(): Table {
    const table: Table = { fields: new StringTable(), values: [] };
    this.each((field, value) => this.#setIn(table, field, value));
    this.#packed = NOTHING_PACKED;
    this.#table = table;
    return table;
  }

  /** False where it is not there. */
  delete(field: string): boolean {
    if (this.#table === undefined) {
      const offset = findPacked(this.#packed, field, 2);
      if (offset >= 0) this.#packed = withoutItems(this.#packed, offset, 2);
      return offset >= 0;
    }
    const { fields, values } = this.#table;
    const position = fields.find(field);
    if (position < 0) return false;
    this.#valueChars -= values[position]!.length;
    fields.removeAt(position);
    removeSwapping(values, position);
    return true;
  }

  /** As `scanDown`; one named `listpack` is visited whole. */
  scan(cursor: number, count: number, visit: (position: number) => void): number {
    return scanDown(cursor, this.size, this.#named === "listpack" ? Infinity : count, visit);
  }

  *parts(): Iterable<string> {
    for (let position = 0; position < this.size; position++) {
      const field = this.fieldAt(position);
      yield `${field.length}:${field}${this.valueAt(position)}`;
    }
  }

  copy(): HashValue {
    const copy = new HashValue();
    copy.#packed = this.#packed;
    copy.#named = this.#named;
    if (this.#table !== undefined) {
      const table = copy.#becomeTable();
      this.each((field, value) => copy.#setIn(table, field, value));
    }
    return copy;
  }
}
