import { afterItem, countOf, findPacked, hasRoom, itemAt, NOTHING_PACKED, offsetOf, withItem, withoutItems } from "./packed.ts";
import { hashOf } from "../keyspace/hash.ts";
import { PairTable } from "./pair-table.ts";

/** Of a text, with what its length is rounded up by. */
const TEXT_BYTES = 20;

/** Few short members of any kind. */
export class PackedMembers {
  readonly encoding = "hashtable";
  #packed = NOTHING_PACKED;

  get size(): number {
    return countOf(this.#packed);
  }

  get bytes(): number {
    return TEXT_BYTES + this.#packed.length;
  }

  at(position: number): string {
    return itemAt(this.#packed, offsetOf(this.#packed, position));
  }

  each(visit: (member: string) => boolean): void {
    const packed = this.#packed;
    for (let offset = 1; offset < packed.length && visit(itemAt(packed, offset));) offset = afterItem(packed, offset);
  }

  has(member: string): boolean {
    return findPacked(this.#packed, member, 1) >= 0;
  }

  /** Undefined: there is no room for it. */
  add(member: string): boolean | undefined {
    if (this.has(member)) return false;
    if (!hasRoom(this.#packed, member)) return undefined;
    this.#packed = withItem(this.#packed, member);
    return true;
  }

  remove(member: string): boolean {
    const offset = findPacked(this.#packed, member, 1);
    if (offset < 0) return false;
    this.#packed = withoutItems(this.#packed, offset, 1);
    return true;
  }

  removeAt(position: number): void {
    this.#packed = withoutItems(this.#packed, offsetOf(this.#packed, position), 1);
  }

  copy(): PackedMembers {
    const copy = new PackedMembers();
    copy.#packed = this.#packed;
    return copy;
  }
}

const NO_VALUE = Buffer.alloc(0);

/** Members of any kind, as many as there are. */
export class StringMembers {
  readonly encoding = "hashtable";
  #table = new PairTable();

  get size(): number {
    return this.#table.size;
  }

  get bytes(): number {
    return this.#table.bytes;
  }

  at(position: number): string {
    return this.#table.fieldAt(position);
  }

  has(member: string): boolean {
    return this.#table.findText(member) >= 0;
  }

  add(member: string): boolean {
    const bytes = Buffer.from(member, "latin1");
    return this.#table.set(hashOf(bytes, 0, bytes.length), bytes, 0, bytes.length, NO_VALUE, 0, 0);
  }

  remove(member: string): boolean {
    const position = this.#table.findText(member);
    if (position < 0) return false;
    this.#table.removeAt(position);
    return true;
  }

  removeAt(position: number): void {
    this.#table.removeAt(position);
  }

  copy(): StringMembers {
    const copy = new StringMembers();
    copy.#table = this.#table.copy();
    return copy;
  }
}
