import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { syntaxError, wrongType } from "../command-error.ts";
import { ZSET } from "../keyspace/value.ts";
import { integerAt } from "../numbers.ts";
import type { SortedSet } from "../types/sorted-set.ts";
import { keyAt, keysCountedAt, type Command } from "./command.ts";
import { shrunk } from "./sorted-set.ts";
import { takeFromFirst, takeOrWait, timeoutMsAt } from "./waiting.ts";

/** Which members go first: those with the least scores, or those with the greatest. */
type Extreme = "min" | "max";

const EVENTS: Readonly<Record<Extreme, string>> = { min: "zpopmin", max: "zpopmax" };
const POPS: Readonly<Record<Extreme, string>> = { min: "ZPOPMIN", max: "ZPOPMAX" };

/** In the order in which they go. */
function extremesOf(set: SortedSet, extreme: Extreme, count: number): ReturnType<SortedSet["slice"]> {
  return extreme === "min" ? set.slice(0, count) : set.slice(set.size - count, set.size).toReversed();
}

const pop = (name: "zpopmin" | "zpopmax", extreme: Extreme): Command => ({
  name,
  arity: -2,
  flags: ["write", "fast"],
  group: "sorted-set",
  summary: `Removes the members with the ${extreme === "min" ? "least" : "greatest"} scores and answers them.`,
  since: "5.0.0",
  keys: keyAt(1, "RW", "access", "delete"),
  run(client, request) {
    const { reply } = client;
    if (request.count > 3) throw syntaxError();
    const counted = request.count === 3;
    const count = counted ? integerAt(request, 2, { min: 0, error: "ERR value is out of range, must be positive" }) : 1;
    const set = client.findValue<SortedSet>(request, 1, ZSET);
    if (set === undefined || count === 0) return reply.array(0);
    const taken = extremesOf(set, extreme, count);
    const pairs = counted && reply.protocol === 3;
    reply.array(pairs ? taken.length : 2 * taken.length);
    for (const { member, score } of taken) {
      set.delete(member);
      if (pairs) reply.array(2);
      reply.bulk(member);
      reply.double(score);
    }
    shrunk(client, request, set, name);
  },
});

const waitsToPop = (name: "bzpopmin" | "bzpopmax", extreme: Extreme): Command => ({
  name,
  arity: -3,
  flags: ["write", "noscript", "fast", "blocking"],
  group: "sorted-set",
  summary: `Removes the member with the ${extreme === "min" ? "least" : "greatest"} score of the first of these sorted sets that has one, as soon as one has.`,
  since: "5.0.0",
  keys: [{ flags: ["RW", "access", "delete"], begin: { index: 1 }, find: { last: -2, step: 1 } }],
  run(client, request) {
    const timeoutMs = timeoutMsAt(client, request, request.count - 1);
    takeOrWait(client, { keys: request.texts(1, request.count - 1), type: ZSET }, timeoutMs, (key) => {
      const set = sortedSetOf(client, key);
      if (set === undefined) return undefined;
      const [taken] = extremesOf(set, extreme, 1);
      client.reply.array(3);
      client.reply.bulk(key);
      client.reply.bulk(taken!.member); // no set is empty
      client.reply.double(taken!.score);
      set.delete(taken!.member);
      took(client, key, set, extreme);
      return [POPS[extreme], key];
    });
  },
});

interface PopMany {
  readonly keys: readonly string[];
  readonly extreme: Extreme;
  readonly count: number;
}

/** Of `numkeys key… MIN|MAX [COUNT n]` from this index on. */
function popManyOf(request: Request, index: number): PopMany {
  const first = index + 1;
  const at = first + integerAt(request, index, { min: 1, error: "ERR numkeys should be greater than 0" });
  const extreme = at < request.count ? request.word(at) : "";
  if (extreme !== "min" && extreme !== "max") throw syntaxError();
  const counted = request.count > at + 1;
  if (counted && (request.count !== at + 3 || request.word(at + 1) !== "count")) throw syntaxError();
  const count = counted ? integerAt(request, at + 2, { min: 1, error: "ERR count should be greater than 0" }) : 1;
  return { keys: request.texts(first, at), extreme, count };
}

const zmpop: Command = {
  name: "zmpop",
  arity: -4,
  flags: ["write"],
  group: "sorted-set",
  summary: "Removes members of the first of these sorted sets that has any.",
  since: "7.0.0",
  keys: keysCountedAt(1, "RW", "access", "delete"),
  run(client, request) {
    const wanted = popManyOf(request, 1);
    if (!takeFromFirst(client, wanted.keys, (key) => poppedMany(client, key, wanted))) client.reply.nullArray();
  },
};

const bzmpop: Command = {
  name: "bzmpop",
  arity: -5,
  flags: ["write", "blocking"],
  group: "sorted-set",
  summary: "Removes members of the first of these sorted sets that has any, as soon as one has.",
  since: "7.0.0",
  keys: keysCountedAt(2, "RW", "access", "delete"),
  run(client, request) {
    const timeoutMs = timeoutMsAt(client, request, 1);
    const wanted = popManyOf(request, 2);
    takeOrWait(client, { keys: wanted.keys, type: ZSET }, timeoutMs, (key) => poppedMany(client, key, wanted));
  },
};

function poppedMany(client: Client, key: string, { extreme, count }: PopMany): readonly string[] | undefined {
  const { reply } = client;
  const set = sortedSetOf(client, key);
  if (set === undefined) return undefined;
  const taken = extremesOf(set, extreme, count);
  reply.array(2);
  reply.bulk(key);
  reply.array(taken.length);
  for (const { member, score } of taken) {
    set.delete(member);
    reply.array(2);
    reply.bulk(member);
    reply.double(score);
  }
  took(client, key, set, extreme);
  return [POPS[extreme], key, String(taken.length)];
}

function took(client: Client, key: string, set: SortedSet, extreme: Extreme): void {
  client.wroteText(key, "z", EVENTS[extreme]);
  if (set.size > 0) return;
  client.db.remove(client.db.peekText(key));
  client.wroteText(key, "g", "del");
}

function sortedSetOf(client: Client, key: string): SortedSet | undefined {
  const { db } = client;
  const address = db.findText(key);
  if (address === 0) return undefined;
  if (db.typeOf(address) !== ZSET) throw wrongType();
  return db.objectOf(address) as SortedSet;
}

export const SORTED_SET_POP_COMMANDS: readonly Command[] = [
  bzmpop,
  waitsToPop("bzpopmax", "max"),
  waitsToPop("bzpopmin", "min"),
  zmpop,
  pop("zpopmax", "max"),
  pop("zpopmin", "min"),
];
