import type { Address } from "../keyspace/arena.ts";
import type { Database } from "../keyspace/database.ts";
import { STRING } from "../keyspace/value.ts";
import { int64Of } from "../numbers.ts";
import { keyAt, keysFrom, type Command } from "./command.ts";

/** Elements from which on Redis leaves it to another thread to free what UNLINK deletes; here the garbage collector always does that, and they are only counted. */
const LARGE = 64;

const deletes = (name: "del" | "unlink", flags: Command["flags"], since: string): Command => ({
  name,
  arity: -2,
  flags,
  group: "generic",
  summary: "Deletes keys.",
  since,
  keys: keysFrom(1, 1, "RM", "delete"),
  run(client, request) {
    let deleted = 0;
    for (let i = 1; i < request.count; i++) {
      const address = client.db.peek(request, i);
      if (address === 0) continue;
      if (name === "unlink" && (client.db.objectOf(address)?.size ?? 0) > LARGE) client.store.statistics.lazyFreed++;
      client.removed(request, i, address);
      deleted++;
    }
    client.reply.integer(deleted);
  },
});

const exists: Command = {
  name: "exists",
  arity: -2,
  flags: ["readonly", "fast"],
  group: "generic",
  summary: "How many of these keys are there.",
  since: "1.0.0",
  keys: keysFrom(1, 1, "RO"),
  run(client, request) {
    let found = 0;
    for (let i = 1; i < request.count; i++) if (client.db.peek(request, i) !== 0) found++;
    client.reply.integer(found);
  },
};

const type: Command = {
  name: "type",
  arity: 2,
  flags: ["readonly", "fast"],
  group: "generic",
  summary: "The type of what a key holds.",
  since: "1.0.0",
  keys: keyAt(1, "RO"),
  run(client, request) {
    const address = client.db.peek(request, 1);
    client.reply.simple(address === 0 ? "none" : client.db.typeNameOf(address));
  },
};

/** Up to here Redis keeps a string in one piece with its key's value object. */
const EMBEDDED_BYTES_MAX = 44;

/** As `OBJECT ENCODING` names it. */
export function encodingOf(db: Database, address: Address): string {
  const value = db.objectOf(address);
  if (value !== undefined && value.type !== STRING) return value.encoding;
  if (db.isRaw(address)) return "raw";
  const bytes = db.stringBytesOf(address);
  if (bytes <= 20 && int64Of(db.stringTextOf(address)) !== undefined) return "int";
  return bytes <= EMBEDDED_BYTES_MAX ? "embstr" : "raw";
}

export const GENERIC_COMMANDS: readonly Command[] = [
  deletes("del", ["write"], "1.0.0"),
  deletes("unlink", ["write", "fast"], "4.0.0"),
  exists,
  type,
];
