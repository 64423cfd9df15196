import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, noSuchKey, outOfRange, syntaxError, wrongArity, wrongType } from "../command-error.ts";
import type { Address } from "../keyspace/arena.ts";
import { LIST } from "../keyspace/value.ts";
import { integerAt } from "../numbers.ts";
import { List, type End } from "../types/list.ts";
import { keyAt, type Command } from "./command.ts";

const push = (name: string, end: End, onlyPresent: boolean): Command => ({
  name,
  arity: -3,
  flags: ["write", "denyoom", "fast"],
  group: "list",
  summary: `Adds elements at the ${end === "left" ? "start" : "end"} of a list${onlyPresent ? ", if the list is there" : ""}.`,
  since: onlyPresent ? "2.2.0" : "1.0.0",
  keys: keyAt(1, "RW", "insert"),
  run(client, request) {
    let list = client.findValue<List>(request, 1, LIST);
    if (list === undefined) {
      if (onlyPresent) return client.reply.integer(0);
      list = new List();
      client.db.setObject(request, 1, list);
    }
    for (let i = 2; i < request.count; i++) list.pushBytes(end, request.bytes, request.offsets[i]!, request.lengths[i]!);
    client.wrote(request, 1, "l", end === "left" ? "lpush" : "rpush");
    client.reply.integer(list.size);
  },
});

const pop = (name: "lpop" | "rpop", end: End): Command => ({
  name,
  arity: -2,
  flags: ["write", "fast"],
  group: "list",
  summary: `Removes the ${end === "left" ? "first" : "last"} element of a list, or several, and answers them.`,
  since: "1.0.0",
  keys: keyAt(1, "RW", "access", "delete"),
  run(client, request) {
    if (request.count > 3) throw wrongArity(name);
    const count = request.count === 3 ? integerAt(request, 2, { min: 0, error: "ERR value is out of range, must be positive" }) : undefined;
    const { db, reply } = client;
    const address = db.find(request, 1);
    if (address === 0) return count === undefined ? reply.null() : reply.nullArray();
    const list = listAt(client, address);
    if (count === undefined) reply.bulk(list.pop(end)!); // no list is empty
    else {
      const taken = Math.min(count, list.size);
      reply.array(taken);
      for (let i = 0; i < taken; i++) reply.bulk(list.pop(end)!); // there are so many
      if (taken === 0) return;
    }
    client.wrote(request, 1, "l", name);
    if (list.size === 0) client.removed(request, 1, address);
  },
});

const llen: Command = {
  name: "llen",
  arity: 2,
  flags: ["readonly", "fast"],
  group: "list",
  summary: "How many elements a list has.",
  since: "1.0.0",
  keys: keyAt(1, "RO"),
  run: (client, request) => client.reply.integer(client.readValue(request, 1, LIST)?.size ?? 0),
};

const lindex: Command = {
  name: "lindex",
  arity: 3,
  flags: ["readonly"],
  group: "list",
  summary: "The element at an index; below 0 it counts from the end.",
  since: "1.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const list = client.readValue<List>(request, 1, LIST);
    client.reply.bulkOrNull(list?.at(integerAt(request, 2)));
  },
};

const lset: Command = {
  name: "lset",
  arity: 4,
  flags: ["write", "denyoom"],
  group: "list",
  summary: "Sets the element at an index.",
  since: "1.0.0",
  keys: keyAt(1, "RW", "update"),
  run(client, request) {
    const list = client.findValue<List>(request, 1, LIST);
    if (list === undefined) throw noSuchKey();
    if (!list.set(integerAt(request, 2), request.text(3))) throw outOfRange();
    client.wrote(request, 1, "l", "lset");
    client.reply.ok();
  },
};

const linsert: Command = {
  name: "linsert",
  arity: 5,
  flags: ["write", "denyoom"],
  group: "list",
  summary: "Adds an element before or after another one.",
  since: "2.2.0",
  keys: keyAt(1, "RW", "insert"),
  run(client, request) {
    const side = request.word(2);
    if (side !== "before" && side !== "after") throw syntaxError();
    const list = client.findValue<List>(request, 1, LIST);
    if (list === undefined) return client.reply.integer(0);
    if (!list.insert(side, request.text(3), request.text(4))) return client.reply.integer(-1);
    client.wrote(request, 1, "l", "linsert");
    client.reply.integer(list.size);
  },
};

const lrange: Command = {
  name: "lrange",
  arity: 4,
  flags: ["readonly"],
  group: "list",
  summary: "The elements from one index to another; below 0 they count from the end.",
  since: "1.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { reply } = client;
    const start = integerAt(request, 2);
    const end = integerAt(request, 3);
    const list = client.readValue<List>(request, 1, LIST);
    const { from, count } = rangeOf(start, end, list?.size ?? 0);
    reply.array(count);
    list?.read(from, count, {
      text: (element) => reply.bulk(element),
      packed: (bytes, first, last) => reply.raw(bytes.subarray(first, last)),
    });
  },
};

const ltrim: Command = {
  name: "ltrim",
  arity: 4,
  flags: ["write"],
  group: "list",
  summary: "Removes all elements but those from one index to another.",
  since: "1.0.0",
  keys: keyAt(1, "RW", "delete"),
  run(client, request) {
    const start = integerAt(request, 2);
    const end = integerAt(request, 3);
    const list = client.findValue<List>(request, 1, LIST);
    client.reply.ok();
    if (list === undefined) return;
    const { from, count } = rangeOf(start, end, list.size);
    list.drop("right", list.size - from - count);
    list.drop("left", list.size - count);
    client.wrote(request, 1, "l", "ltrim");
    if (list.size === 0) client.removed(request, 1, client.db.peek(request, 1));
  },
};

/** As indexes that are there; a count of 0 where the range is empty. */
export function rangeOf(start: number, end: number, size: number): { readonly from: number; readonly count: number } {
  const from = start < 0 ? Math.max(0, size + start) : start;
  const to = Math.min(size - 1, end < 0 ? size + end : end);
  return from > to ? { from: 0, count: 0 } : { from, count: to - from + 1 };
}

const lrem: Command = {
  name: "lrem",
  arity: 4,
  flags: ["write"],
  group: "list",
  summary: "Removes elements that equal a given one: so many from the start, from the end if below 0, or all.",
  since: "1.0.0",
  keys: keyAt(1, "RW", "delete"),
  run(client, request) {
    const count = integerAt(request, 2);
    const list = client.findValue<List>(request, 1, LIST);
    const removed = list?.remove(request.text(3), count < 0 ? "right" : "left", count === 0 ? Infinity : Math.abs(count)) ?? 0;
    client.reply.integer(removed);
    if (removed === 0) return;
    client.wrote(request, 1, "l", "lrem");
    if (list?.size === 0) client.removed(request, 1, client.db.peek(request, 1));
  },
};

const RANK_ZERO =
  "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list";

const lpos: Command = {
  name: "lpos",
  arity: -3,
  flags: ["readonly"],
  group: "list",
  summary: "Where in a list an element is.",
  since: "6.0.6",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { reply } = client;
    const { rank, count, comparisonsMax } = positionOptionsOf(request);
    const list = client.readValue<List>(request, 1, LIST);
    const max = count === undefined ? 1 : count === 0 ? Infinity : count;
    const found = list?.positions(request.text(2), rank < 0 ? "right" : "left", { skip: Math.abs(rank) - 1, max, comparisonsMax }) ?? [];
    if (count === undefined) {
      if (found.length === 0) reply.null();
      else reply.integer(found[0]!);
      return;
    }
    reply.array(found.length);
    for (const index of found) reply.integer(index);
  },
};

function positionOptionsOf(request: Request): {
  readonly rank: number;
  readonly count: number | undefined;
  readonly comparisonsMax: number;
} {
  let rank = 1;
  let count: number | undefined;
  let comparisonsMax = Infinity;
  for (let i = 3; i < request.count; i += 2) {
    const option = request.word(i);
    if (i + 1 >= request.count) throw syntaxError();
    if (option === "rank") {
      rank = integerAt(request, i + 1, { min: -(2 ** 63) + 1024, error: "ERR value is out of range" });
      if (rank === 0) throw new CommandError(RANK_ZERO);
    } else if (option === "count") count = integerAt(request, i + 1, { min: 0, error: "ERR COUNT can't be negative" });
    else if (option === "maxlen") comparisonsMax = integerAt(request, i + 1, { min: 0, error: "ERR MAXLEN can't be negative" }) || Infinity;
    else throw syntaxError();
  }
  return { rank, count, comparisonsMax };
}

/** What a record holds. Throws `WRONGTYPE`. */
export function listAt(client: Client, address: Address): List {
  if (client.db.typeOf(address) !== LIST) throw wrongType();
  return client.db.objectOf(address) as List;
}

export const LIST_COMMANDS: readonly Command[] = [
  lindex,
  linsert,
  llen,
  pop("lpop", "left"),
  lpos,
  push("lpush", "left", false),
  push("lpushx", "left", true),
  lrange,
  lrem,
  lset,
  ltrim,
  pop("rpop", "right"),
  push("rpush", "right", false),
  push("rpushx", "right", true),
];
