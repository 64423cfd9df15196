import type { Request } from "../../wire/resp/request.ts";
import { hashAt, hashOf } from "../keyspace/hash.ts";
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
import { PairTable } from "./pair-table.ts";
import { scanDown } from "./scan-down.ts";

/** Index of the argument that is a field, as a rule. */
const FIELD = 2;
/** Of the hash itself, with the text that it is packed in. */
const HASH_BYTES = 100;

/** Up to which size and length a hash is named `listpack`. */
export interface HashLimits {
  readonly "hash-max-listpack-entries": number;
  readonly "hash-max-listpack-value": number;
}

/** A hash: a few short fields and values packed in their order, field and value in turn; otherwise a table. It never goes back. */
export class HashValue implements Value {
  readonly type = HASH_TYPE;
  #packed = NOTHING_PACKED;
  #table: PairTable | undefined;
  #named: "listpack" | "hashtable" = "listpack";

  get encoding(): string {
    return this.#named;
  }

  get bytes(): number {
    return HASH_BYTES + (this.#table === undefined ? this.#packed.length : this.#table.bytes);
  }

  get size(): number {
    return this.#table === undefined ? countOf(this.#packed) >> 1 : this.#table.size;
  }

  fieldAt(position: number): string {
    return this.#table === undefined ? itemAt(this.#packed, offsetOf(this.#packed, 2 * position)) : this.#table.fieldAt(position);
  }

  valueAt(position: number): string {
    return this.#table === undefined ? itemAt(this.#packed, offsetOf(this.#packed, 2 * position + 1)) : this.#table.valueAt(position);
  }

  /** Visits all fields with their values. */
  each(visit: (field: string, value: string) => void): void {
    const table = this.#table;
    const packed = this.#packed;
    if (table !== undefined)
      for (let position = 0; position < table.size; position++) visit(table.fieldAt(position), table.valueAt(position));
    else
      for (let field = 1; field < packed.length;) {
        const value = afterItem(packed, field);
        visit(itemAt(packed, field), itemAt(packed, value));
        field = afterItem(packed, value);
      }
  }

  get(field: string): string | undefined {
    if (this.#table !== undefined) {
      const position = this.#table.findText(field);
      return position < 0 ? undefined : this.#table.valueAt(position);
    }
    const offset = findPacked(this.#packed, field, 2);
    return offset < 0 ? undefined : itemAt(this.#packed, afterItem(this.#packed, offset));
  }

  has(field: string): boolean {
    return (this.#table === undefined ? findPacked(this.#packed, field, 2) : this.#table.findText(field)) >= 0;
  }

  /** True where the field is new. */
  set(field: string, value: string, limits: HashLimits): boolean {
    const added = this.#table === undefined ? this.#setPacked(field, value) : setText(this.#table, field, value);
    this.#nameAfter(field.length, value.length, limits);
    return added;
  }

  /** The same for two arguments: of those for a large hash no text is made. */
  setFrom(request: Request, field: number, value: number, limits: HashLimits): boolean {
    const table = this.#table;
    if (table === undefined) return this.set(request.text(field), request.text(value), limits);
    const { bytes, offsets, lengths } = request;
    const hash = hashAt(request, field);
    const added = table.set(hash, bytes, offsets[field]!, lengths[field]!, bytes, offsets[value]!, lengths[value]!);
    this.#nameAfter(lengths[field]!, lengths[value]!, limits);
    return added;
  }

  #nameAfter(fieldLength: number, valueLength: number, limits: HashLimits): void {
    if (this.#named === "hashtable") return;
    if (Math.max(valueLength, fieldLength) > limits["hash-max-listpack-value"] || this.size > limits["hash-max-listpack-entries"])
      this.#named = "hashtable";
  }

  #setPacked(field: string, value: string): boolean {
    const packed = this.#packed;
    const offset = findPacked(packed, field, 2);
    if (offset < 0 ? !hasRoom(packed, field, value) : !canReplace(packed, value)) return setText(this.#becomeTable(), field, value);
    if (offset < 0) {
      this.#packed = withPair(packed, field, value);
      return true;
    }
    const at = afterItem(packed, offset);
    if (itemAt(packed, at) !== value) this.#packed = withReplaced(packed, at, value);
    return false;
  }

  #becomeTable(): PairTable {
    const table = new PairTable();
    this.each((field, value) => setText(table, field, value));
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
    const position = this.#table.findText(field);
    if (position >= 0) this.#table.removeAt(position);
    return position >= 0;
  }

  fetch(requests: readonly Request[], count: number): void {
    this.#table?.fetch(requests, count, FIELD);
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
    copy.#table = this.#table?.copy();
    return copy;
  }
}

function setText(table: PairTable, field: string, value: string): boolean {
  const bytes = Buffer.from(field + value, "latin1");
  return table.set(hashOf(bytes, 0, field.length), bytes, 0, field.length, bytes, field.length, value.length);
}
