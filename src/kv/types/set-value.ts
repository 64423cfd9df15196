import { SET, type Value } from "../keyspace/value.ts";
import { IntSet } from "./int-set.ts";
import { IntegerTable } from "./integer-table.ts";
import { scanDown } from "./scan-down.ts";
import { StringTable } from "./string-table.ts";

/** Of the set itself, with whatever keeps its members. */
const SET_BYTES = 120;

/** What keeps members, at positions from 0 on. `add` answers undefined for one that it cannot keep. */
type Members = IntSet | IntegerTable | StringMembers;

/**
 * A set: few integers sorted (`intset`), many of them in typed arrays, anything else as strings (both `hashtable`). It never goes back to a smaller form.
 * Members are at positions from 0 to `size`, in no order that means something.
 */
export class SetValue implements Value {
  readonly type = SET;
  #members: Members = new IntSet();

  get encoding(): string {
    return this.#members.encoding;
  }

  get bytes(): number {
    return SET_BYTES + this.#members.bytes;
  }

  get size(): number {
    return this.#members.size;
  }

  at(position: number): string {
    return this.#members.at(position);
  }

  has(member: string): boolean {
    return this.#members.has(member);
  }

  /** False where it is there already. `intSetMax`: `set-max-intset-entries`. */
  add(member: string, intSetMax: number): boolean {
    const added = this.#members.add(member);
    if (added === undefined) {
      this.#members = filledWith(new StringMembers(), this.#members);
      return this.#members.add(member);
    }
    if (added && this.#members.encoding === "intset" && this.#members.size > intSetMax)
      this.#members = filledWith(this.#members.safe ? new IntegerTable() : new StringMembers(), this.#members);
    return added;
  }

  /** False where it is not there. */
  remove(member: string): boolean {
    return this.#members.remove(member);
  }

  removeAt(position: number): void {
    this.#members.removeAt(position);
  }

  /** As `scanDown`; an intset is visited whole. */
  scan(cursor: number, count: number, visit: (member: string) => void): number {
    const members = this.#members;
    return scanDown(cursor, members.size, members.encoding === "intset" ? Infinity : count, (position) => visit(members.at(position)));
  }

  *parts(): Iterable<string> {
    for (let position = 0; position < this.size; position++) yield this.at(position);
  }

  copy(): SetValue {
    const copy = new SetValue();
    copy.#members = this.#members.copy();
    return copy;
  }
}

/** Members of any kind. */
class StringMembers {
  readonly encoding = "hashtable";
  #table = new StringTable();

  get size(): number {
    return this.#table.size;
  }

  get bytes(): number {
    return this.#table.bytes;
  }

  at(position: number): string {
    return this.#table.at(position);
  }

  has(member: string): boolean {
    return this.#table.find(member) >= 0;
  }

  add(member: string): boolean {
    if (this.#table.find(member) >= 0) return false;
    this.#table.push(member);
    return true;
  }

  remove(member: string): boolean {
    const position = this.#table.find(member);
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

function filledWith<M extends Members>(target: M, source: Members): M {
  for (let position = 0; position < source.size; position++) target.add(source.at(position));
  return target;
}
