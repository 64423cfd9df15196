import { invariant } from "../../base/errors.ts";

/**
 * A few short strings in one text, as Redis has listpacks: first how many there are, then each after its length, both as one character. Two objects instead of dozens, which
 * the garbage collector need not look into; a change makes another text.
 */
export type Packed = string;

const COUNT_MAX = 64;
const ITEM_CHARS_MAX = 64;
const CHARS_MAX = 1024;

export const NOTHING_PACKED: Packed = "\0";

export const countOf = (packed: Packed): number => packed.charCodeAt(0);

/** Whether one more item, or a pair, may be put in. */
export const hasRoom = (packed: Packed, a: string, b = ""): boolean =>
  a.length <= ITEM_CHARS_MAX &&
  b.length <= ITEM_CHARS_MAX &&
  countOf(packed) + 2 <= COUNT_MAX &&
  packed.length + a.length + b.length + 2 <= CHARS_MAX;

/** Whether this may be put in the place of another item, whatever that is. */
export const canReplace = (packed: Packed, item: string): boolean =>
  item.length <= ITEM_CHARS_MAX && packed.length + item.length <= CHARS_MAX;

/** Offset of the item that equals this one, of every `step`th; -1 where there is none. */
export function findPacked(packed: Packed, item: string, step: 1 | 2): number {
  const { length } = item;
  for (let at = 1; at < packed.length;) {
    const size = packed.charCodeAt(at);
    if (size === length && packed.startsWith(item, at + 1)) return at;
    at += 1 + size;
    if (step === 2) at += 1 + packed.charCodeAt(at);
  }
  return -1;
}

/** Offset of the item at a position. */
export function offsetOf(packed: Packed, position: number): number {
  let at = 1;
  for (let left = position; left > 0; left--) at = afterItem(packed, at);
  return at;
}

export const itemAt = (packed: Packed, offset: number): string => packed.slice(offset + 1, offset + 1 + packed.charCodeAt(offset));

export const afterItem = (packed: Packed, offset: number): number => offset + 1 + packed.charCodeAt(offset);

const packedItem = (item: string): string => String.fromCharCode(item.length) + item;

export const withItem = (packed: Packed, item: string): Packed => joined(countOf(packed) + 1, packed.slice(1) + packedItem(item));

export const withPair = (packed: Packed, a: string, b: string): Packed => withPairAt(packed, packed.length, a, b);

export const withPairAt = (packed: Packed, offset: number, a: string, b: string): Packed =>
  joined(countOf(packed) + 2, packed.slice(1, offset) + packedItem(a) + packedItem(b) + packed.slice(offset));

export const withReplaced = (packed: Packed, offset: number, item: string): Packed =>
  joined(countOf(packed), packed.slice(1, offset) + packedItem(item) + packed.slice(afterItem(packed, offset)));

/** Without so many items from an offset on. */
export function withoutItems(packed: Packed, offset: number, count: 1 | 2): Packed {
  let end = afterItem(packed, offset);
  if (count === 2) end = afterItem(packed, end);
  return joined(countOf(packed) - count, packed.slice(1, offset) + packed.slice(end));
}

/** V8 keeps what was joined as a tree that holds on to all its parts until a character of it is read: that the check does. */
function joined(count: number, items: string): Packed {
  const packed = String.fromCharCode(count) + items;
  invariant(packed.charCodeAt(0) === count, "what is packed begins with its count");
  return packed;
}
