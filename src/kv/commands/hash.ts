import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { wrongArity } from "../command-error.ts";
import { HASH_TYPE } from "../keyspace/value.ts";
import { HashValue } from "../types/hash-value.ts";
import { keyAt, type Command } from "./command.ts";

const readHash = (client: Client, request: Request): HashValue | undefined => client.readValue(request, 1, HASH_TYPE);
export const findHash = (client: Client, request: Request): HashValue | undefined => client.findValue(request, 1, HASH_TYPE);

/** The hash of the key, a new one where there is none. */
function hashToChange(client: Client, request: Request): HashValue {
  const found = findHash(client, request);
  if (found !== undefined) return found;
  const hash = new HashValue();
  client.db.setObject(request, 1, hash);
  return hash;
}

/** Sets the pairs from argument 2 on; how many fields are new. */
function setPairs(client: Client, request: Request, name: string): number {
  if (request.count % 2 !== 0) throw wrongArity(name);
  const hash = hashToChange(client, request);
  const limits = client.store.parameters;
  let added = 0;
  for (let i = 2; i < request.count; i += 2) if (hash.setFrom(request, i, i + 1, limits)) added++;
  client.wrote(request, 1, "h", "hset");
  return added;
}

const hset: Command = {
  name: "hset",
  arity: -4,
  flags: ["write", "denyoom", "fast"],
  group: "hash",
  summary: "Sets fields of a hash.",
  since: "2.0.0",
  keys: keyAt(1, "RW", "update"),
  run: (client, request) => client.reply.integer(setPairs(client, request, "hset")),
};

const hmset: Command = {
  name: "hmset",
  arity: -4,
  flags: ["write", "denyoom", "fast"],
  group: "hash",
  summary: "Sets fields of a hash; HSET does, too.",
  since: "2.0.0",
  keys: keyAt(1, "RW", "update"),
  run(client, request) {
    setPairs(client, request, "hmset");
    client.reply.ok();
  },
};

const hsetnx: Command = {
  name: "hsetnx",
  arity: 4,
  flags: ["write", "denyoom", "fast"],
  group: "hash",
  summary: "Sets a field only if it is not there.",
  since: "2.0.0",
  keys: keyAt(1, "RW", "insert"),
  run(client, request) {
    const hash = hashToChange(client, request);
    const field = request.text(2);
    if (hash.has(field)) return client.reply.integer(0);
    hash.set(field, request.text(3), client.store.parameters);
    client.wrote(request, 1, "h", "hset");
    client.reply.integer(1);
  },
};

const hget: Command = {
  name: "hget",
  arity: 3,
  flags: ["readonly", "fast"],
  group: "hash",
  summary: "The value of a field.",
  since: "2.0.0",
  keys: keyAt(1, "RO", "access"),
  run: (client, request) => client.reply.bulkOrNull(readHash(client, request)?.get(request.text(2))),
};

const hmget: Command = {
  name: "hmget",
  arity: -3,
  flags: ["readonly", "fast"],
  group: "hash",
  summary: "The values of several fields.",
  since: "2.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const hash = readHash(client, request);
    client.reply.array(request.count - 2);
    for (let i = 2; i < request.count; i++) client.reply.bulkOrNull(hash?.get(request.text(i)));
  },
};

const hgetall: Command = {
  name: "hgetall",
  arity: 2,
  flags: ["readonly"],
  group: "hash",
  summary: "All fields with their values.",
  since: "2.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { reply } = client;
    const hash = readHash(client, request);
    reply.map(hash?.size ?? 0);
    hash?.each((field, value) => {
      reply.bulk(field);
      reply.bulk(value);
    });
  },
};

const halves = (name: "hkeys" | "hvals", what: string, partOf: (field: string, value: string) => string): Command => ({
  name,
  arity: 2,
  flags: ["readonly"],
  group: "hash",
  summary: `All ${what} of a hash.`,
  since: "2.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const hash = readHash(client, request);
    client.reply.array(hash?.size ?? 0);
    hash?.each((field, value) => client.reply.bulk(partOf(field, value)));
  },
});

const hlen: Command = {
  name: "hlen",
  arity: 2,
  flags: ["readonly", "fast"],
  group: "hash",
  summary: "How many fields a hash has.",
  since: "2.0.0",
  keys: keyAt(1, "RO"),
  run: (client, request) => client.reply.integer(readHash(client, request)?.size ?? 0),
};

const hexists: Command = {
  name: "hexists",
  arity: 3,
  flags: ["readonly", "fast"],
  group: "hash",
  summary: "Whether a hash has a field.",
  since: "2.0.0",
  keys: keyAt(1, "RO"),
  run: (client, request) => client.reply.integer(readHash(client, request)?.has(request.text(2)) === true ? 1 : 0),
};

const hstrlen: Command = {
  name: "hstrlen",
  arity: 3,
  flags: ["readonly", "fast"],
  group: "hash",
  summary: "Length of a field's value in bytes.",
  since: "3.2.0",
  keys: keyAt(1, "RO"),
  run: (client, request) => client.reply.integer(readHash(client, request)?.get(request.text(2))?.length ?? 0),
};

const hdel: Command = {
  name: "hdel",
  arity: -3,
  flags: ["write", "fast"],
  group: "hash",
  summary: "Deletes fields.",
  since: "2.0.0",
  keys: keyAt(1, "RW", "delete"),
  run(client, request) {
    const hash = findHash(client, request);
    let deleted = 0;
    if (hash !== undefined) for (let i = 2; i < request.count; i++) if (hash.delete(request.text(i))) deleted++;
    if (deleted > 0) {
      client.wrote(request, 1, "h", "hdel");
      if (hash!.size === 0) client.removed(request, 1, client.db.peek(request, 1)); // something of it was deleted
    }
    client.reply.integer(deleted);
  },
};

export const HASH_COMMANDS: readonly Command[] = [
  hdel,
  hexists,
  hget,
  hgetall,
  halves("hkeys", "fields", (field) => field),
  hlen,
  hmget,
  hmset,
  hset,
  hsetnx,
  hstrlen,
  halves("hvals", "values", (_, value) => value),
];
