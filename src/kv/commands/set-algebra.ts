import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { SET } from "../keyspace/value.ts";
import { integerAt } from "../numbers.ts";
import { SetValue } from "../types/set-value.ts";
import { keyAt, keysCountedAt, keysFrom, type Command } from "./command.ts";
import { replyMembers } from "./set.ts";

type Sets = readonly (SetValue | undefined)[];
/** Tells each member of the result, until the visitor says that it is enough; the same one perhaps more than once. */
type Operation = (sets: Sets, visit: (member: string) => boolean) => void;

function setsAt(client: Client, request: Request, from: number, to: number): Sets {
  const sets: (SetValue | undefined)[] = [];
  for (let i = from; i < to; i++) sets.push(client.readValue<SetValue>(request, i, SET));
  return sets;
}

/** Of the smallest whatever all others have. */
const intersection: Operation = (sets, visit) => {
  if (sets.includes(undefined)) return;
  const [smallest, ...others] = (sets as readonly SetValue[]).toSorted((a, b) => a.size - b.size);
  if (smallest === undefined) return;
  smallest.each((member) => !others.every((other) => other === smallest || other.has(member)) || visit(member));
};

const union: Operation = (sets, visit) => {
  for (const set of sets) set?.each(visit);
};

/** Of the first whatever no other has, the largest asked first. */
const difference: Operation = ([first, ...others], visit) => {
  if (first === undefined) return;
  const removed = others.filter((set) => set !== undefined).toSorted((a, b) => b.size - a.size);
  first.each((member) => removed.some((other) => other === first || other.has(member)) || visit(member));
};

const OPERATIONS = {
  sinter: { operation: intersection, summary: "The members that all these sets have." },
  sunion: { operation: union, summary: "The members that any of these sets has." },
  sdiff: { operation: difference, summary: "The members of the first set that no other has." },
} as const;

const answers = (name: keyof typeof OPERATIONS): Command => ({
  name,
  arity: -2,
  flags: ["readonly"],
  group: "set",
  summary: OPERATIONS[name].summary,
  since: "1.0.0",
  keys: keysFrom(1, 1, "RO", "access"),
  run(client, request) {
    const result = resultOf(OPERATIONS[name].operation, setsAt(client, request, 1, request.count), client);
    client.reply.set(result.size);
    replyMembers(client, result);
  },
});

const stores = (name: keyof typeof OPERATIONS): Command => ({
  name: `${name}store`,
  arity: -3,
  flags: ["write", "denyoom"],
  group: "set",
  summary: `${OPERATIONS[name].summary.slice(0, -1)}, as a new set.`,
  since: "1.0.0",
  keys: [...keyAt(1, "OW", "update"), ...keysFrom(2, 1, "RO", "access")],
  run(client, request) {
    const result = resultOf(OPERATIONS[name].operation, setsAt(client, request, 2, request.count), client);
    const before = client.db.peek(request, 1);
    if (result.size > 0) {
      client.db.setObject(request, 1, result);
      client.wrote(request, 1, "s", `${name}store`);
    } else if (before !== 0) client.removed(request, 1, before);
    client.reply.integer(result.size);
  },
});

function resultOf(operation: Operation, sets: Sets, client: Client): SetValue {
  const result = new SetValue();
  const intSetMax = client.store.parameters["set-max-intset-entries"];
  operation(sets, (member) => {
    result.add(member, intSetMax);
    return true;
  });
  return result;
}

const sintercard: Command = {
  name: "sintercard",
  arity: -3,
  flags: ["readonly", "movablekeys"],
  group: "set",
  summary: "How many members all these sets have.",
  since: "7.0.0",
  keys: keysCountedAt(1, "RO", "access"),
  run(client, request) {
    const count = integerAt(request, 1, { min: 1, error: "ERR numkeys should be greater than 0" });
    if (count > request.count - 2) throw new CommandError("ERR Number of keys can't be greater than number of args");
    const limit = limitAt(request, 2 + count);
    let found = 0;
    intersection(setsAt(client, request, 2, 2 + count), () => ++found !== limit);
    client.reply.integer(found);
  },
};

/** 0: none. */
function limitAt(request: Request, from: number): number {
  let limit = 0;
  for (let i = from; i < request.count; i += 2) {
    if (request.word(i) !== "limit" || i + 1 === request.count) throw syntaxError();
    limit = integerAt(request, i + 1, { min: 0, error: "ERR LIMIT can't be negative" });
  }
  return limit;
}

export const SET_ALGEBRA_COMMANDS: readonly Command[] = [
  answers("sdiff"),
  stores("sdiff"),
  answers("sinter"),
  sintercard,
  stores("sinter"),
  answers("sunion"),
  stores("sunion"),
];
