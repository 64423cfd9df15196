import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { int64At, integerAt } from "../numbers.ts";
import { putValue } from "../persist/put-value.ts";
import { dumpOf, isDump, readDump } from "../persist/rdb/dump.ts";
import { RdbError } from "../persist/rdb/rdb-error.ts";
import type { ReadValue } from "../persist/rdb/read-value.ts";
import type { Request } from "../../wire/resp/request.ts";
import { keyAt, type Command } from "./command.ts";
import { absoluteMs } from "./expiry.ts";

const dump: Command = {
  name: "dump",
  arity: 2,
  flags: ["readonly"],
  group: "generic",
  summary: "What a key holds, as bytes that RESTORE takes.",
  since: "2.6.0",
  keys: keyAt(1, "RO", "access"),
  run({ db, reply, store }, request) {
    const address = db.peek(request, 1);
    if (address === 0) return reply.null();
    reply.bulkBytes(dumpOf(db, address, store.parameters.rdbcompression));
  },
};

interface RestoreOptions {
  readonly replaces: boolean;
  readonly absolute: boolean;
  readonly idleSeconds: number | undefined;
  readonly frequency: number | undefined;
}

function optionsOf(request: Request): RestoreOptions {
  let replaces = false;
  let absolute = false;
  let idleSeconds: number | undefined;
  let frequency: number | undefined;
  for (let i = 4; i < request.count; i++) {
    const word = request.word(i);
    const more = i + 1 < request.count;
    if (word === "replace") replaces = true;
    else if (word === "absttl") absolute = true;
    else if (word === "idletime" && more && frequency === undefined) {
      idleSeconds = integerAt(request, ++i);
      if (idleSeconds < 0) throw new CommandError("ERR Invalid IDLETIME value, must be >= 0");
    } else if (word === "freq" && more && idleSeconds === undefined) {
      frequency = integerAt(request, ++i);
      if (frequency < 0 || frequency > 255) throw new CommandError("ERR Invalid FREQ value, must be >= 0 and <= 255");
    } else throw syntaxError();
  }
  return { replaces, absolute, idleSeconds, frequency };
}

const restore = (name: "restore" | "restore-asking", since: string): Command => ({
  name,
  arity: -4,
  flags: name === "restore" ? ["write", "denyoom"] : ["write", "denyoom", "asking"],
  group: name === "restore" ? "generic" : "server",
  summary: "Creates a key from what DUMP has answered.",
  since,
  categories: ["keyspace", "dangerous"],
  keys: keyAt(1, "OW", "update"),
  run(client, request) {
    const { db, store, reply } = client;
    const options = optionsOf(request);
    const key = request.text(1);
    const before = db.peekText(key);
    if (!options.replaces && before !== 0) throw new CommandError("BUSYKEY Target key name already exists.");
    const ttl = int64At(request, 2);
    if (ttl < 0n) throw new CommandError("ERR Invalid TTL value, must be >= 0");
    const value = valueOf(client, request);
    const expiryMs = ttl === 0n ? undefined : absoluteMs(ttl, options.absolute ? "at-ms" : "ms", store.nowMs, name);
    if (expiryMs !== undefined && expiryMs <= store.nowMs && db.expiryMode === "delete") {
      if (before !== 0) {
        client.propagateAs(["DEL", key]);
        client.removed(request, 1, before);
      }
      return reply.ok();
    }
    const lfu = store.parameters["maxmemory-policy"].endsWith("-lfu");
    putValue(db, key, value, { expiryMs, idleSeconds: options.idleSeconds, frequency: options.frequency, lfu });
    if (expiryMs !== undefined && !options.absolute)
      client.propagateAs(["RESTORE", key, String(expiryMs), request.slice(3), ...request.texts(4), "ABSTTL"]);
    client.wrote(request, 1, "g", "restore");
    reply.ok();
  },
});

function valueOf({ store }: Client, request: Request): ReadValue {
  const payload = request.slice(3);
  if (!isDump(payload, store.skipsChecksums)) throw new CommandError("ERR DUMP payload version or checksum are wrong");
  let value: ReadValue | undefined;
  try {
    value = readDump(payload, store.parameters);
  } catch (thrown) {
    if (!(thrown instanceof RdbError)) throw thrown;
  }
  if (value === undefined || "skipped" in value) throw new CommandError("ERR Bad data format");
  return value;
}

export const DUMP_COMMANDS: readonly Command[] = [dump, restore("restore", "2.6.0"), restore("restore-asking", "3.0.0")];
