import { createHash } from "node:crypto";
import type { Address } from "./keyspace/arena.ts";
import type { Database } from "./keyspace/database.ts";
import type { Store } from "./store.ts";

const NOTHING = "0".repeat(40);
const DIGEST_BYTES = 20;

/** One number for all keys and their values, whatever their order: 40 hexadecimal digits, zeros where there is nothing. For comparing servers in tests. */
export function digestOf(store: Store): string {
  const sum = Buffer.alloc(DIGEST_BYTES);
  for (const db of store.databases)
    db.each((address) => {
      if (!db.isExpired(address)) mix(sum, sha1(`${db.index}\n${db.keyOf(address)}\n${valueDigestOf(db, address)}`));
    });
  return sum.toString("hex");
}

export function digestOfKey(db: Database, key: string): string {
  const address = db.peekText(key);
  return address === 0 ? NOTHING : valueDigestOf(db, address);
}

function valueDigestOf(db: Database, address: Address): string {
  const type = db.typeOf(address);
  const value = db.objectOf(address);
  const expires = db.expiryOf(address) === undefined ? "" : "!!expire!!";
  const sum = Buffer.alloc(DIGEST_BYTES);
  if (value?.parts === undefined) mix(sum, sha1(db.stringTextOf(address)));
  else for (const part of value.parts()) mix(sum, sha1(part));
  return sha1(`${type}\n${sum.toString("hex")}\n${expires}`).toString("hex");
}

const sha1 = (text: string): Buffer => createHash("sha1").update(text, "latin1").digest();

/** Adds without regard to the order. */
function mix(sum: Buffer, digest: Buffer): void {
  for (let i = 0; i < DIGEST_BYTES; i++) sum[i]! ^= digest[i]!;
}
