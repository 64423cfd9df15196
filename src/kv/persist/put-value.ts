import type { Database } from "../keyspace/database.ts";
import { lfuBitsOf, lruBitsOf } from "../keyspace/usage.ts";
import type { ReadValue } from "./rdb/read-value.ts";

export interface PutOptions {
  /** Unix milliseconds. */
  readonly expiryMs: number | undefined;
  readonly idleSeconds: number | undefined;
  readonly frequency: number | undefined;
  /** The use of keys is remembered by how often, not by when. */
  readonly lfu: boolean;
}

/** Puts a value that was read under a key, over whatever that held. False where the value is one that was skipped. */
export function putValue(db: Database, key: string, value: ReadValue, { expiryMs, idleSeconds, frequency, lfu }: PutOptions): boolean {
  if ("skipped" in value) return false;
  const address = "value" in value ? db.setObjectText(key, value.value) : db.setStringText(key, value.string);
  if (expiryMs !== undefined) db.setExpiry(address, expiryMs);
  if (lfu && frequency !== undefined) db.setUseBits(address, lfuBitsOf(frequency, db.nowMs));
  else if (!lfu && idleSeconds !== undefined) db.setUseBits(address, lruBitsOf(idleSeconds, db.nowMs));
  return true;
}
