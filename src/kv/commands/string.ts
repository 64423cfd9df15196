import { ownOf } from "../../base/own.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, notAFloat, notAnInteger, syntaxError } from "../command-error.ts";
import { decimalSum } from "../decimal.ts";
import type { Address } from "../keyspace/arena.ts";
import type { Database } from "../keyspace/database.ts";
import { doubleAt, doubleOf, fitsInt64, int64At, int64Of, integerAt, safeIntegerIn } from "../numbers.ts";
import { keyAt, keysFrom, type Command } from "./command.ts";
import { expiryAt, type ExpiryUnit } from "./expiry.ts";

/** Redis' limit on a string that grows, whatever `proto-max-bulk-len` allows. */
const TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

const get: Command = {
  name: "get",
  arity: 2,
  flags: ["readonly", "fast"],
  group: "string",
  summary: "The string of a key.",
  since: "1.0.0",
  keys: keyAt(1, "RO", "access"),
  run: (client, request) => replyString(client, client.readString(request, 1)),
};

const set: Command = {
  name: "set",
  arity: -3,
  flags: ["write", "denyoom"],
  group: "string",
  summary: "Sets a key to a string, whatever it held.",
  since: "1.0.0",
  keys: keyAt(1, "RW", "access", "update", "variable_flags"),
  keysOf(request) {
    const reads = request.texts(3).some((text) => text.toLowerCase() === "get");
    return [{ index: 1, flags: reads ? ["RW", "access", "update"] : ["OW", "update"] }];
  },
  run(client, request) {
    if (request.count === 3) {
      client.db.setString(request, 1, 2);
      client.wrote(request, 1, "$", "set");
      client.reply.ok();
    } else setWithOptions(client, request);
  },
};

interface SetOptions {
  readonly only: "missing" | "present" | undefined;
  readonly get: boolean;
  readonly keepExpiry: boolean;
  readonly expireAtMs: number | undefined;
}

const EXPIRY_UNITS: Readonly<Record<string, ExpiryUnit>> = { ex: "s", px: "ms", exat: "at-s", pxat: "at-ms" };

function setOptionsOf(client: Client, request: Request): SetOptions {
  let only: SetOptions["only"];
  let getBefore = false;
  let keepExpiry = false;
  let expireAtMs: number | undefined;
  for (let i = 3; i < request.count; i++) {
    const word = request.word(i);
    const unit = ownOf(EXPIRY_UNITS, word);
    if (word === "nx" && only === undefined) only = "missing";
    else if (word === "xx" && only === undefined) only = "present";
    else if (word === "get") getBefore = true;
    else if (word === "keepttl" && expireAtMs === undefined) keepExpiry = true;
    else if (unit !== undefined && !keepExpiry && expireAtMs === undefined && i + 1 < request.count)
      expireAtMs = expiryAt(request, ++i, unit, client.store.nowMs, "set");
    else throw syntaxError();
  }
  return { only, get: getBefore, keepExpiry, expireAtMs };
}

function setWithOptions(client: Client, request: Request): void {
  const { db, reply } = client;
  const options = setOptionsOf(client, request);
  const before = options.get ? client.findString(request, 1) : db.find(request, 1);
  if (options.get) replyString(client, before);
  if ((options.only === "missing" && before !== 0) || (options.only === "present" && before === 0)) {
    if (!options.get) reply.null();
    return;
  }
  const address = db.setString(request, 1, 2, options.keepExpiry);
  if (options.expireAtMs !== undefined) {
    db.setExpiry(address, options.expireAtMs);
    client.propagateAs(["SET", request.text(1), request.text(2), "PXAT", String(options.expireAtMs)]);
  }
  client.wrote(request, 1, "$", "set");
  if (options.expireAtMs !== undefined && client.store.notifies) client.store.notify("g", "expire", request.text(1), db);
  if (!options.get) reply.ok();
}

const setnx: Command = {
  name: "setnx",
  arity: 3,
  flags: ["write", "denyoom", "fast"],
  group: "string",
  summary: "Sets a key only if it is not there.",
  since: "1.0.0",
  keys: keyAt(1, "OW", "insert"),
  run(client, request) {
    if (client.db.find(request, 1) !== 0) return client.reply.integer(0);
    client.db.setString(request, 1, 2);
    client.wrote(request, 1, "$", "set");
    client.reply.integer(1);
  },
};

const setWithExpiry = (name: "setex" | "psetex", unit: ExpiryUnit, since: string): Command => ({
  name,
  arity: 4,
  flags: ["write", "denyoom"],
  group: "string",
  summary: `Sets a key that expires after so many ${unit === "s" ? "seconds" : "milliseconds"}.`,
  since,
  keys: keyAt(1, "OW", "update"),
  run(client, request) {
    const atMs = expiryAt(request, 2, unit, client.store.nowMs, name);
    client.db.setExpiry(client.db.setString(request, 1, 3), atMs);
    client.propagateAs(["SET", request.text(1), request.text(3), "PXAT", String(atMs)]);
    client.wrote(request, 1, "$", "set");
    if (client.store.notifies) client.store.notify("g", "expire", request.text(1), client.db);
    client.reply.ok();
  },
});

const getset: Command = {
  name: "getset",
  arity: 3,
  flags: ["write", "denyoom", "fast"],
  group: "string",
  summary: "Sets a key and answers what it held.",
  since: "1.0.0",
  keys: keyAt(1, "RW", "access", "update"),
  run(client, request) {
    replyString(client, client.findString(request, 1));
    client.db.setString(request, 1, 2);
    client.propagateAs(["SET", request.text(1), request.text(2)]);
    client.wrote(request, 1, "$", "set");
  },
};

const getdel: Command = {
  name: "getdel",
  arity: 2,
  flags: ["write", "fast"],
  group: "string",
  summary: "Answers the string of a key and deletes it.",
  since: "6.2.0",
  keys: keyAt(1, "RW", "access", "delete"),
  run(client, request) {
    const address = client.readString(request, 1);
    replyString(client, address);
    if (address === 0) return;
    client.propagateAs(["DEL", request.text(1)]);
    client.removed(request, 1, address);
  },
};

const getex: Command = {
  name: "getex",
  arity: -2,
  flags: ["write", "fast"],
  group: "string",
  summary: "Answers the string of a key and changes when it expires.",
  since: "6.2.0",
  keys: keyAt(1, "RW", "access", "update"),
  run(client, request) {
    const { db } = client;
    const option = request.count > 2 ? request.word(2) : undefined;
    const unit = option === undefined ? undefined : ownOf(EXPIRY_UNITS, option);
    if (request.count > (unit === undefined ? (option === undefined ? 2 : 3) : 4) || (unit !== undefined && request.count !== 4))
      throw syntaxError();
    if (option !== undefined && unit === undefined && option !== "persist") throw syntaxError();
    const address = client.readString(request, 1);
    if (address === 0) return client.reply.null();
    const atMs = unit === undefined ? undefined : expiryAt(request, 3, unit, client.store.nowMs, "getex");
    replyString(client, address);
    if (atMs !== undefined && atMs <= client.store.nowMs) {
      client.propagateAs(["DEL", request.text(1)]);
      client.removed(request, 1, address);
    } else if (atMs !== undefined) {
      db.setExpiry(address, atMs);
      client.propagateAs(["PEXPIREAT", request.text(1), String(atMs)]);
      client.wrote(request, 1, "g", "expire");
    } else if (option === "persist" && db.persist(address)) {
      client.propagateAs(["PERSIST", request.text(1)]);
      client.wrote(request, 1, "g", "persist");
    }
  },
};

const mget: Command = {
  name: "mget",
  arity: -2,
  flags: ["readonly", "fast"],
  group: "string",
  summary: "The strings of several keys.",
  since: "1.0.0",
  keys: keysFrom(1, 1, "RO", "access"),
  run(client, request) {
    const { db, reply } = client;
    reply.array(request.count - 1);
    for (let i = 1; i < request.count; i++) {
      const address = db.read(request, i);
      if (address !== 0 && db.typeOf(address) === 0) replyString(client, address);
      else reply.null();
    }
  },
};

const setMany = (name: "mset" | "msetnx", onlyMissing: boolean): Command => ({
  name,
  arity: -3,
  flags: ["write", "denyoom"],
  group: "string",
  summary: `Sets several keys${onlyMissing ? ", if none of them is there" : ""}.`,
  since: "1.0.1",
  keys: keysFrom(1, 2, "OW", onlyMissing ? "insert" : "update"),
  run(client, request) {
    if (request.count % 2 === 0) throw new CommandError(`ERR wrong number of arguments for '${name}' command`);
    if (onlyMissing) for (let i = 1; i < request.count; i += 2) if (client.db.find(request, i) !== 0) return client.reply.integer(0);
    for (let i = 1; i < request.count; i += 2) {
      client.db.setString(request, i, i + 1);
      client.wrote(request, i, "$", "set");
    }
    if (onlyMissing) client.reply.integer(1);
    else client.reply.ok();
  },
});

const strlen: Command = {
  name: "strlen",
  arity: 2,
  flags: ["readonly", "fast"],
  group: "string",
  summary: "Length of a string in bytes.",
  since: "2.2.0",
  keys: keyAt(1, "RO"),
  run(client, request) {
    const address = client.readString(request, 1);
    client.reply.integer(address === 0 ? 0 : client.db.stringBytesOf(address));
  },
};

const append: Command = {
  name: "append",
  arity: 3,
  flags: ["write", "denyoom", "fast"],
  group: "string",
  summary: "Adds to the end of a string.",
  since: "2.0.0",
  keys: keyAt(1, "RW", "insert"),
  run(client, request) {
    const { db } = client;
    const address = client.findString(request, 1);
    const added = request.slice(2);
    let length = added.length;
    if (address === 0) db.setString(request, 1, 2);
    else {
      const before = db.stringBytesOf(address);
      length += before;
      checkLength(client, length);
      added.copy(db.resizeString(address, length), before);
    }
    client.wrote(request, 1, "$", "append");
    client.reply.integer(length);
  },
};

const setrange: Command = {
  name: "setrange",
  arity: 4,
  flags: ["write", "denyoom"],
  group: "string",
  summary: "Overwrites a part of a string from an offset on.",
  since: "2.2.0",
  keys: keyAt(1, "RW", "update"),
  run(client, request) {
    const { db, reply } = client;
    const offset = integerAt(request, 2);
    if (offset < 0) throw new CommandError("ERR offset is out of range");
    const address = client.findString(request, 1);
    const part = request.slice(3);
    const before = address === 0 ? 0 : db.stringBytesOf(address);
    if (part.length === 0) return reply.integer(before);
    const length = Math.max(before, offset + part.length);
    checkLength(client, length);
    part.copy(db.resizeString(address === 0 ? db.setStringText(request.text(1), EMPTY) : address, length), offset);
    client.wrote(request, 1, "$", "setrange");
    reply.integer(length);
  },
};

const getrange = (name: "getrange" | "substr", since: string): Command => ({
  name,
  arity: 4,
  flags: ["readonly"],
  group: "string",
  summary: "A part of a string; offsets below 0 count from its end.",
  since,
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const start = integerAt(request, 2);
    const end = integerAt(request, 3);
    const address = client.readString(request, 1);
    const bytes = address === 0 ? EMPTY : client.db.stringOf(address);
    const from = start < 0 ? Math.max(0, bytes.length + start) : start;
    const to = Math.min(bytes.length - 1, end < 0 ? Math.max(0, bytes.length + end) : end);
    if ((start < 0 && end < 0 && start > end) || from > to || bytes.length === 0) return client.reply.bulk("");
    client.reply.bulkBytes(bytes, from, to - from + 1);
  },
});

const increment = (name: "incr" | "decr" | "incrby" | "decrby", sign: 1 | -1, given: boolean): Command => ({
  name,
  arity: given ? 3 : 2,
  flags: ["write", "denyoom", "fast"],
  group: "string",
  summary: `${sign > 0 ? "Adds" : "Subtracts"} ${given ? "a number" : "one"}.`,
  since: "1.0.0",
  keys: keyAt(1, "RW", "access", "update"),
  run(client, request) {
    const { db } = client;
    const address = client.findString(request, 1);
    const by = given ? safeIntegerIn(request.bytes, request.offsets[2]!, request.lengths[2]!) : 1;
    const inPlace = address === 0 ? Number.NaN : db.addInteger(address, sign * by);
    const sum = Number.isNaN(inPlace) ? (address === 0 ? 0 : smallIntegerOf(db, address)) + sign * by : inPlace;
    if (Number.isSafeInteger(sum)) {
      if (address === 0) db.setInteger(request, 1, sum);
      else if (Number.isNaN(inPlace)) store(client, request, address, String(sum), false);
    } else {
      const large = (address === 0 ? 0n : int64In(db, address)) + BigInt(sign) * (given ? decrementOf(int64At(request, 2), sign) : 1n);
      if (!fitsInt64(large)) throw new CommandError("ERR increment or decrement would overflow");
      store(client, request, address, String(large), false);
    }
    client.wrote(request, 1, "$", sign > 0 ? "incrby" : "decrby");
    client.reply.integer(Number.isSafeInteger(sum) ? sum : int64In(db, db.find(request, 1)));
  },
});

function decrementOf(value: bigint, sign: 1 | -1): bigint {
  if (sign < 0 && !fitsInt64(-value)) throw new CommandError("ERR decrement would overflow");
  return value;
}

const incrbyfloat: Command = {
  name: "incrbyfloat",
  arity: 3,
  flags: ["write", "denyoom", "fast"],
  group: "string",
  summary: "Adds a floating point number.",
  since: "2.6.0",
  keys: keyAt(1, "RW", "access", "update"),
  run(client, request) {
    const { db } = client;
    const address = client.findString(request, 1);
    const before = address === 0 ? "0" : db.stringTextOf(address);
    if (doubleOf(before) === undefined) throw notAFloat();
    doubleAt(request, 2);
    const text = decimalSum(before, request.text(2));
    store(client, request, address, text, true);
    client.propagateAs(["SET", request.text(1), text, "KEEPTTL"]);
    client.wrote(request, 1, "$", "incrbyfloat");
    client.reply.bulk(text);
  },
};

const lcs: Command = {
  name: "lcs",
  arity: -3,
  flags: ["readonly"],
  group: "string",
  summary: "The longest common subsequence of two strings.",
  since: "7.0.0",
  keys: keysFrom(1, 1, "RO", "access").map((spec) => ({ ...spec, find: { last: 1, step: 1 } })),
  run(client, request) {
    let onlyLength = false;
    let wantsRanges = false;
    let withLengths = false;
    let lengthMin = 0;
    const [a, b] = [1, 2].map((index) => {
      const address = client.db.read(request, index);
      if (address !== 0 && client.db.typeOf(address) !== 0) throw new CommandError("ERR The specified keys must contain string values");
      return address === 0 ? "" : client.db.stringTextOf(address);
    }) as [string, string];
    for (let i = 3; i < request.count; i++) {
      const word = request.word(i);
      if (word === "idx") wantsRanges = true;
      else if (word === "len") onlyLength = true;
      else if (word === "withmatchlen") withLengths = true;
      else if (word === "minmatchlen" && i + 1 < request.count) lengthMin = Math.max(0, integerAt(request, ++i));
      else throw syntaxError();
    }
    if (onlyLength && wantsRanges) throw new CommandError("ERR If you want both the length and indexes, please just use IDX.");
    const found = longestCommonSubsequence(a, b);
    if (onlyLength) return client.reply.integer(found.text.length);
    if (!wantsRanges) return client.reply.bulk(found.text);
    const ranges = found.ranges.filter(({ length }) => length >= lengthMin);
    client.reply.map(2);
    client.reply.bulk("matches");
    client.reply.array(ranges.length);
    for (const { a: fromA, b: fromB, length } of ranges) {
      client.reply.array(withLengths ? 3 : 2);
      for (const from of [fromA, fromB]) {
        client.reply.array(2);
        client.reply.integer(from);
        client.reply.integer(from + length - 1);
      }
      if (withLengths) client.reply.integer(length);
    }
    client.reply.bulk("len");
    client.reply.integer(found.text.length);
  },
};

/** Cells of the table that compares two strings. */
const LCS_CELLS_MAX = 2 ** 28;

interface CommonRange {
  readonly a: number;
  readonly b: number;
  readonly length: number;
}

/** By the table of lengths of all prefixes; ranges from the end to the start. */
function longestCommonSubsequence(a: string, b: string): { readonly text: string; readonly ranges: readonly CommonRange[] } {
  const width = b.length + 1;
  if ((a.length + 1) * width > LCS_CELLS_MAX)
    throw new CommandError("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
  const lengths = new Uint32Array((a.length + 1) * width);
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++)
      lengths[i * width + j] =
        a.charCodeAt(i - 1) === b.charCodeAt(j - 1)
          ? lengths[(i - 1) * width + j - 1]! + 1
          : Math.max(lengths[(i - 1) * width + j]!, lengths[i * width + j - 1]!);
  const ranges: CommonRange[] = [];
  let text = "";
  for (let i = a.length, j = b.length; i > 0 && j > 0;) {
    if (a.charCodeAt(i - 1) === b.charCodeAt(j - 1)) {
      text = a[i - 1]! + text;
      const last = ranges.at(-1);
      if (last !== undefined && last.a === i && last.b === j) ranges[ranges.length - 1] = { a: i - 1, b: j - 1, length: last.length + 1 };
      else ranges.push({ a: i - 1, b: j - 1, length: 1 });
      i--;
      j--;
    } else if (lengths[(i - 1) * width + j]! > lengths[i * width + j - 1]!) i--;
    else j--;
  }
  return { text, ranges };
}

export function replyString({ db, reply }: Client, address: Address): void {
  if (address === 0) reply.null();
  else if (db.objectOf(address) !== undefined) reply.bulkBytes(db.stringOf(address));
  else reply.bulkBytes(db.segmentOf(address), db.stringFrom(address), db.stringBytesOf(address));
}

/** Writes a number over the one before; the expiry stays. */
function store(client: Client, request: Request, address: Address, text: string, raw: boolean): void {
  const bytes = Buffer.from(text, "latin1");
  if (address === 0) client.db.setStringText(request.text(1), bytes);
  else client.db.changeString(address, bytes, raw);
}

/** NaN where the number needs `int64In`, or is none. */
function smallIntegerOf(db: Database, address: Address): number {
  if (db.objectOf(address) !== undefined) return Number.NaN;
  return safeIntegerIn(db.segmentOf(address), db.stringFrom(address), db.stringBytesOf(address));
}

function int64In(db: Database, address: Address): bigint {
  const value = db.stringBytesOf(address) > 20 ? undefined : int64Of(db.stringTextOf(address));
  if (value === undefined) throw notAnInteger();
  return value;
}

function checkLength(client: Client, length: number): void {
  if (length > client.store.parameters["proto-max-bulk-len"]) throw new CommandError(TOO_LONG);
}

const EMPTY = Buffer.alloc(0);

export const STRING_COMMANDS: readonly Command[] = [
  append,
  increment("decr", -1, false),
  increment("decrby", -1, true),
  get,
  getdel,
  getex,
  getrange("getrange", "2.4.0"),
  getset,
  increment("incr", 1, false),
  increment("incrby", 1, true),
  incrbyfloat,
  lcs,
  mget,
  setMany("mset", false),
  setMany("msetnx", true),
  setWithExpiry("psetex", "ms", "2.6.0"),
  set,
  setWithExpiry("setex", "s", "2.0.0"),
  setnx,
  setrange,
  strlen,
  getrange("substr", "1.0.0"),
];
