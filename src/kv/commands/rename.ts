import { CommandError, noSuchKey, syntaxError } from "../command-error.ts";
import type { Address } from "../keyspace/arena.ts";
import type { Database } from "../keyspace/database.ts";
import { integerAt } from "../numbers.ts";
import { keyAt, type Command } from "./command.ts";
import { databaseAt } from "./connection.ts";

const SAME = "ERR source and destination objects are the same";

const renames = (name: "rename" | "renamenx", onlyMissing: boolean): Command => ({
  name,
  arity: 3,
  flags: onlyMissing ? ["write", "fast"] : ["write"],
  group: "generic",
  summary: `Gives a key another name${onlyMissing ? ", if no key has that" : ""}.`,
  since: "1.0.0",
  keys: [...keyAt(1, "RW", "access", "delete"), ...keyAt(2, "OW", onlyMissing ? "insert" : "update")],
  run(client, request) {
    const { db, reply } = client;
    const [from, to] = [request.text(1), request.text(2)];
    const address = db.findText(from);
    if (address === 0) throw noSuchKey();
    if (from !== to) {
      if (onlyMissing && db.peekText(to) !== 0) return reply.integer(0);
      take(db, address, db, to);
      client.wroteText(from, "g", "rename_from");
      client.wroteText(to, "g", "rename_to");
    }
    if (onlyMissing) reply.integer(from === to ? 0 : 1);
    else reply.ok();
  },
});

const move: Command = {
  name: "move",
  arity: 3,
  flags: ["write", "fast"],
  group: "generic",
  summary: "Moves a key to another database.",
  since: "1.0.0",
  keys: keyAt(1, "RW", "access", "delete"),
  run(client, request) {
    const { db, reply } = client;
    if (client.store.cluster !== undefined) throw new CommandError("ERR MOVE is not allowed in cluster mode");
    const target = databaseAt(client, integerAt(request, 2));
    if (target === db) throw new CommandError(SAME);
    const key = request.text(1);
    const address = db.findText(key);
    if (address === 0 || target.peekText(key) !== 0) return reply.integer(0);
    take(db, address, target, key);
    client.wroteText(key, "g", "move_from");
    client.wroteText(key, "g", "move_to", target);
    reply.integer(1);
  },
};

const copy: Command = {
  name: "copy",
  arity: -3,
  flags: ["write", "denyoom"],
  group: "generic",
  summary: "Copies what a key holds to another key.",
  since: "6.2.0",
  keys: [...keyAt(1, "RO", "access"), ...keyAt(2, "OW", "update")],
  run(client, request) {
    const { db, reply } = client;
    const [from, to] = [request.text(1), request.text(2)];
    let target: Database = db;
    let replaces = false;
    for (let i = 3; i < request.count; i++) {
      const word = request.word(i);
      if (word === "replace") replaces = true;
      else if (word === "db" && i + 1 < request.count) target = databaseAt(client, integerAt(request, ++i));
      else throw syntaxError();
    }
    if (target !== db && client.store.cluster !== undefined)
      throw new CommandError("ERR Copying to another database is not allowed in cluster mode");
    if (target === db && from === to) throw new CommandError(SAME);
    const address = db.read(request, 1);
    if (address === 0 || (!replaces && target.peekText(to) !== 0)) return reply.integer(0);
    put(target, to, contentOf(db, address, true));
    client.wroteText(to, "g", "copy_to", target);
    reply.integer(1);
  },
};

/** What a key holds, apart from its record. */
type Content = { readonly expiryMs: number | undefined; readonly raw: boolean } & (
  | { readonly object: NonNullable<ReturnType<Database["objectOf"]>> }
  | { readonly object: undefined; readonly bytes: Buffer }
);

function contentOf(db: Database, address: Address, copied: boolean): Content {
  const expiryMs = db.expiryOf(address);
  const object = db.objectOf(address);
  const raw = db.isRaw(address);
  if (object !== undefined) return { expiryMs, raw, object: copied ? object.copy() : object };
  return { expiryMs, raw, object, bytes: Buffer.from(db.stringOf(address)) };
}

/** Over whatever the key held. */
function put(db: Database, key: string, content: Content): Address {
  let address: Address;
  if (content.object !== undefined) address = db.setObjectText(key, content.object);
  else address = db.setStringText(key, content.bytes);
  if (content.raw) address = db.changeString(address, db.stringOf(address), true);
  if (content.expiryMs !== undefined) db.setExpiry(address, content.expiryMs);
  return address;
}

/** Moves what a key holds to another key, with its expiry and the memory of its use. */
function take(db: Database, address: Address, target: Database, key: string): void {
  const content = contentOf(db, address, false);
  const use = db.useBitsOf(address);
  db.remove(address, true);
  target.setUseBits(put(target, key, content), use);
}

export const RENAME_COMMANDS: readonly Command[] = [copy, move, renames("rename", false), renames("renamenx", true)];
