import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { SET } from "../keyspace/value.ts";
import { SetValue } from "../types/set-value.ts";
import { keyAt, type Command, type KeySpec } from "./command.ts";
import { replyScanned, scanOptionsAt } from "./scan-options.ts";

const readSet = (client: Client, request: Request, index = 1): SetValue | undefined => client.readValue(request, index, SET);
export const findSet = (client: Client, request: Request, index = 1): SetValue | undefined => client.findValue(request, index, SET);

const intSetMaxOf = (client: Client): number => client.store.parameters["set-max-intset-entries"];

const sadd: Command = {
  name: "sadd",
  arity: -3,
  flags: ["write", "denyoom", "fast"],
  group: "set",
  summary: "Adds members to a set.",
  since: "1.0.0",
  keys: keyAt(1, "RW", "insert"),
  run(client, request) {
    let set = findSet(client, request);
    if (set === undefined) client.db.setObject(request, 1, (set = new SetValue()));
    const intSetMax = intSetMaxOf(client);
    let added = 0;
    for (let i = 2; i < request.count; i++) if (set.add(request.text(i), intSetMax)) added++;
    if (added > 0) client.wrote(request, 1, "s", "sadd");
    client.reply.integer(added);
  },
};

const srem: Command = {
  name: "srem",
  arity: -3,
  flags: ["write", "fast"],
  group: "set",
  summary: "Removes members from a set.",
  since: "1.0.0",
  keys: keyAt(1, "RW", "delete"),
  run(client, request) {
    const set = findSet(client, request);
    let removed = 0;
    if (set !== undefined) for (let i = 2; i < request.count; i++) if (set.remove(request.text(i))) removed++;
    if (removed > 0) {
      client.wrote(request, 1, "s", "srem");
      removeIfEmpty(client, request, set!); // something of it was removed
    }
    client.reply.integer(removed);
  },
};

/** A set without members is none. */
export function removeIfEmpty(client: Client, request: Request, set: SetValue): void {
  if (set.size === 0) client.removed(request, 1, client.db.peek(request, 1));
}

const smoveKeys: readonly KeySpec[] = [...keyAt(1, "RW", "access", "delete"), ...keyAt(2, "RW", "insert")];

const smove: Command = {
  name: "smove",
  arity: 4,
  flags: ["write", "fast"],
  group: "set",
  summary: "Moves a member from one set to another.",
  since: "1.0.0",
  keys: smoveKeys,
  run(client, request) {
    const { reply } = client;
    const source = findSet(client, request, 1);
    if (source === undefined) return reply.integer(0);
    let target = findSet(client, request, 2);
    const member = request.text(3);
    if (source === target) return reply.integer(source.has(member) ? 1 : 0);
    if (!source.remove(member)) return reply.integer(0);
    client.wrote(request, 1, "s", "srem");
    removeIfEmpty(client, request, source);
    if (target === undefined) client.db.setObject(request, 2, (target = new SetValue()));
    if (target.add(member, intSetMaxOf(client))) client.wrote(request, 2, "s", "sadd");
    reply.integer(1);
  },
};

const sismember: Command = {
  name: "sismember",
  arity: 3,
  flags: ["readonly", "fast"],
  group: "set",
  summary: "Whether a set has a member.",
  since: "1.0.0",
  keys: keyAt(1, "RO"),
  run: (client, request) => client.reply.integer(readSet(client, request)?.has(request.text(2)) === true ? 1 : 0),
};

const smismember: Command = {
  name: "smismember",
  arity: -3,
  flags: ["readonly", "fast"],
  group: "set",
  summary: "Which of these members a set has.",
  since: "6.2.0",
  keys: keyAt(1, "RO"),
  run(client, request) {
    const set = readSet(client, request);
    client.reply.array(request.count - 2);
    for (let i = 2; i < request.count; i++) client.reply.integer(set?.has(request.text(i)) === true ? 1 : 0);
  },
};

const scard: Command = {
  name: "scard",
  arity: 2,
  flags: ["readonly", "fast"],
  group: "set",
  summary: "How many members a set has.",
  since: "1.0.0",
  keys: keyAt(1, "RO"),
  run: (client, request) => client.reply.integer(readSet(client, request)?.size ?? 0),
};

const smembers: Command = {
  name: "smembers",
  arity: 2,
  flags: ["readonly"],
  group: "set",
  summary: "All members of a set.",
  since: "1.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const set = readSet(client, request);
    client.reply.set(set?.size ?? 0);
    if (set !== undefined) replyMembers(client, set);
  },
};

export function replyMembers({ reply }: Client, set: SetValue): void {
  set.each((member) => {
    reply.bulk(member);
    return true;
  });
}

const sscan: Command = {
  name: "sscan",
  arity: -3,
  flags: ["readonly"],
  group: "set",
  summary: "Goes through the members of a set, some with each call.",
  since: "2.8.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { cursor, count, matches } = scanOptionsAt(request, 2);
    const found: string[] = [];
    const next = readSet(client, request)?.scan(cursor, count, (member) => {
      if (matches(member)) found.push(member);
    });
    replyScanned(client, next ?? 0, found);
  },
};

export const SET_COMMANDS: readonly Command[] = [sadd, scard, sismember, smembers, smismember, smove, srem, sscan];
