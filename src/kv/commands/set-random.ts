import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { SET } from "../keyspace/value.ts";
import { integerAt } from "../numbers.ts";
import { samplePositions } from "../types/sample.ts";
import type { SetValue } from "../types/set-value.ts";
import { keyAt, type Command } from "./command.ts";
import { findSet, removeIfEmpty } from "./set.ts";

const COUNT_MAX = 2 ** 63;
/** Members that journal and replicas get with one command. */
const REMOVED_AT_ONCE = 1024;

const somewhereIn = (set: SetValue): number => Math.floor(Math.random() * set.size);

/** How many, each once; below 0: so many, perhaps some more than once. */
export function randomCountAt(request: Request, index: number): number {
  const count = integerAt(request, index);
  if (count <= -COUNT_MAX)
    throw new CommandError("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
  return count;
}

const spop: Command = {
  name: "spop",
  arity: -2,
  flags: ["write", "fast"],
  group: "set",
  summary: "Takes members by chance.",
  since: "1.0.0",
  keys: keyAt(1, "RW", "access", "delete"),
  run(client, request) {
    if (request.count > 3) throw syntaxError();
    if (request.count === 3) return popMany(client, request);
    const set = findSet(client, request);
    if (set === undefined) return client.reply.null();
    const position = somewhereIn(set);
    const member = set.at(position);
    set.removeAt(position);
    client.propagateAs(["SREM", request.text(1), member]);
    client.wrote(request, 1, "s", "spop");
    removeIfEmpty(client, request, set);
    client.reply.bulk(member);
  },
};

function popMany(client: Client, request: Request): void {
  const { reply } = client;
  const count = integerAt(request, 2, { min: 0, error: "ERR value is out of range, must be positive" });
  const set = findSet(client, request);
  if (set === undefined || count === 0) return reply.set(0);
  const key = request.text(1);
  const taken = Math.min(count, set.size);
  const all = taken === set.size;
  const members: string[] = [];
  if (all) for (let i = 0; i < taken; i++) members.push(set.at(i));
  else
    for (let i = 0; i < taken; i++) {
      const position = somewhereIn(set);
      members.push(set.at(position));
      set.removeAt(position);
    }
  client.wrote(request, 1, "s", "spop");
  if (all) {
    client.propagateAs(["DEL", key]);
    client.removed(request, 1, client.db.peek(request, 1));
  } else client.propagateAs(...parts(members).map((part) => ["SREM", key, ...part]));
  reply.set(taken);
  for (const member of members) reply.bulk(member);
}

function parts(members: readonly string[]): (readonly string[])[] {
  const all: (readonly string[])[] = [];
  for (let from = 0; from < members.length; from += REMOVED_AT_ONCE) all.push(members.slice(from, from + REMOVED_AT_ONCE));
  return all;
}

const srandmember: Command = {
  name: "srandmember",
  arity: -2,
  flags: ["readonly"],
  group: "set",
  summary: "Members of a set by chance.",
  since: "1.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { reply } = client;
    if (request.count > 3) throw syntaxError();
    const count = request.count === 3 ? randomCountAt(request, 2) : undefined;
    const set = client.readValue<SetValue>(request, 1, SET);
    if (count === undefined) return reply.bulkOrNull(set?.at(somewhereIn(set)));
    if (set === undefined) return reply.array(0);
    const found = count < 0 ? -count : Math.min(count, set.size);
    reply.array(found);
    if (count < 0) for (let i = 0; i < found; i++) reply.bulk(set.at(somewhereIn(set)));
    else if (found === set.size) for (let i = 0; i < found; i++) reply.bulk(set.at(i));
    else for (const position of samplePositions(set.size, found, Math.random)) reply.bulk(set.at(position));
  },
};

export const SET_RANDOM_COMMANDS: readonly Command[] = [spop, srandmember];
