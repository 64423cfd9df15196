import type { Database } from "../keyspace/database.ts";

/** Keys of a slot, at most so many. */
export function keysOfSlot(db: Database, slot: number, max = Infinity): string[] {
  const keys = new Set<string>(); // a table that grows or shrinks meanwhile may show some twice
  let cursor = 0;
  do cursor = db.scanSlot(slot, cursor, (address) => void (keys.size < max && keys.add(db.keyOf(address))));
  while (cursor !== 0 && keys.size < max);
  return [...keys];
}
