import { SET, type Value } from "../keyspace/value.ts";
import { IntSet } from "./int-set.ts";
import { IntegerTable } from "./integer-table.ts";
import { scanDown } from "./scan-down.ts";
import { PackedMembers, StringMembers } from "./set-members.ts";

/** Of the set itself, with whatever keeps its members. */
const SET_BYTES = 88;

/** More integers are not packed when something else joins them. */
const PACKED_INTEGERS_MAX = 32;

/** What keeps members, at positions from 0 on. `add` answers undefined for one that it cannot keep. */
type Members = IntSet | IntegerTable | PackedMembers | StringMembers;

/**
 * A set: few integers sorted (`intset`), many of them in typed arrays; a few short strings packed, otherwise a table (these are all `hashtable`). It never goes back to
 * a smaller form.
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
    for (;;) {
      const members: Members = this.#members;
      const added = members.add(member);
      if (added === true && members.encoding === "intset" && members.size > intSetMax)
        this.#members = filledWith(members.safe ? new IntegerTable() : new StringMembers(), members);
      if (added !== undefined) return added;
      this.#members = wider(members);
    }
  }

  /** False where it is not there. */
  remove(member: string): boolean {
    return this.#members.remove(member);
  }

  removeAt(position: number): void {
    this.#members.removeAt(position);
  }

  /** Visits the members until the visitor says that it is enough. */
  each(visit: (member: string) => boolean): void {
    const members = this.#members;
    if (members instanceof PackedMembers) members.each(visit);
    else for (let position = 0; position < members.size; position++) if (!visit(members.at(position))) return;
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

/** The next form, for a member that this one cannot keep. */
function wider(members: Members): Members {
  if (members.encoding === "intset" && members.size <= PACKED_INTEGERS_MAX) {
    const packed = filledWith(new PackedMembers(), members);
    if (packed.size === members.size) return packed;
  }
  return filledWith(new StringMembers(), members);
}

function filledWith<M extends Members>(target: M, source: Members): M {
  for (let position = 0; position < source.size; position++) target.add(source.at(position));
  return target;
}
