import { matchesGlob } from "../glob.ts";
import type { Address } from "../keyspace/arena.ts";
import type { Database } from "../keyspace/database.ts";
import { keysFrom, type Command } from "./command.ts";
import { replyScanned, scanOptionsAt } from "./scan-options.ts";

/** Buckets that one SCAN looks at for each key that it should find. */
const BUCKETS_PER_KEY = 10;
/** Keys that RANDOMKEY takes, on a replica where all of them may have expired. */
const TRIES_MAX = 100;

const keys: Command = {
  name: "keys",
  arity: 2,
  flags: ["readonly", "touches_arbitrary_keys"],
  group: "generic",
  summary: "All keys that match a pattern.",
  since: "1.0.0",
  categories: ["keyspace", "dangerous"],
  run({ db, reply }, request) {
    const pattern = request.text(1);
    const addresses: Address[] = [];
    db.each((address) => {
      if (pattern === "*" || matchesGlob(pattern, db.keyOf(address))) addresses.push(address);
    });
    reply.bulks(present(db, addresses));
  },
};

/** Keys of those records that have not expired; only now, as one that expires is removed. */
function present(db: Database, addresses: readonly Address[]): string[] {
  const found: string[] = [];
  for (const address of addresses) if (!db.lapsed(address)) found.push(db.keyOf(address));
  return found;
}

const scan: Command = {
  name: "scan",
  arity: -2,
  flags: ["readonly", "touches_arbitrary_keys"],
  group: "generic",
  summary: "Goes through the keys, some with each call.",
  since: "2.8.0",
  run(client, request) {
    const { db } = client;
    const options = scanOptionsAt(request, 1, true);
    const addresses: Address[] = [];
    let { cursor } = options;
    let buckets = options.count * BUCKETS_PER_KEY;
    do cursor = db.scan(cursor, (address) => addresses.push(address));
    while (cursor !== 0 && --buckets > 0 && addresses.length < options.count);
    const { type } = options;
    const wanted = addresses.filter(
      (address) => (type === undefined || db.typeNameOf(address) === type || db.isExpired(address)) && options.matches(db.keyOf(address)),
    );
    replyScanned(client, cursor, present(db, wanted));
  },
};

const randomkey: Command = {
  name: "randomkey",
  arity: 1,
  flags: ["readonly", "touches_arbitrary_keys"],
  group: "generic",
  summary: "Some key.",
  since: "1.0.0",
  run({ db, reply }) {
    for (let tries = 0; tries < TRIES_MAX || db.expiryMode === "delete"; tries++) {
      const address = db.random(Math.random);
      if (address === 0) return reply.null();
      if (!db.lapsed(address)) return reply.bulk(db.keyOf(address));
    }
    reply.null();
  },
};

const touch: Command = {
  name: "touch",
  arity: -2,
  flags: ["readonly", "fast"],
  group: "generic",
  summary: "Counts as a use of keys; how many of them are there.",
  since: "3.2.1",
  keys: keysFrom(1, 1, "RO"),
  run({ db, reply }, request) {
    let found = 0;
    for (let i = 1; i < request.count; i++) if (db.read(request, i) !== 0) found++;
    reply.integer(found);
  },
};

export const KEYS_COMMANDS: readonly Command[] = [keys, randomkey, scan, touch];
