import { slotOfKey } from "../../../src/kv/keyspace/key-slot.ts";

/** Keys of certain slots, all of one length, found without a table: `{tag}` picks the slot, the number behind it tells keys apart. */
export interface Keys {
  /** One for each slot. */
  readonly tags: readonly string[];
  readonly count: number;
}

const TAG_DIGITS = 7;
const NUMBER_DIGITS = 8;
export const KEY_BYTES = TAG_DIGITS + NUMBER_DIGITS + 2;

/** So many keys, spread over the slots from `from` on. */
export function keysIn(count: number, from: number, below: number): Keys {
  const tags = new Map<number, string>();
  for (let n = 0; tags.size < below - from; n++) {
    const tag = String(n).padStart(TAG_DIGITS, "0");
    const slot = slotOfKey(tag);
    if (slot >= from && slot < below && !tags.has(slot)) tags.set(slot, tag);
  }
  return { tags: [...tags.values()], count };
}

export const keyAt = ({ tags }: Keys, index: number): string =>
  `{${tags[index % tags.length]}}${String(index).padStart(NUMBER_DIGITS, "0")}`;
