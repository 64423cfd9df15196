import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { syntaxError } from "../command-error.ts";
import { LIST } from "../keyspace/value.ts";
import { integerAt } from "../numbers.ts";
import { List, type End } from "../types/list.ts";
import { keyAt, keysCountedAt, type Command, type KeySpec } from "./command.ts";
import { listAt } from "./list.ts";
import { takeFromFirst, takeOrWait, timeoutMsAt } from "./waiting.ts";

const SOURCE_AND_TARGET: readonly KeySpec[] = [...keyAt(1, "RW", "access", "delete"), ...keyAt(2, "RW", "insert")];

interface Move {
  readonly source: string;
  readonly target: string;
  readonly from: End;
  readonly to: End;
  /** What journal and replicas get. */
  readonly effect: readonly string[];
}

const moveOf = (request: Request): Move => {
  const [source, target, from, to] = [request.text(1), request.text(2), endAt(request, 3), endAt(request, 4)];
  return { source, target, from, to, effect: ["LMOVE", source, target, from.toUpperCase(), to.toUpperCase()] };
};

const rotationOf = (request: Request): Move => {
  const [source, target] = [request.text(1), request.text(2)];
  return { source, target, from: "right", to: "left", effect: ["RPOPLPUSH", source, target] };
};

const moves = (name: "lmove" | "rpoplpush", arity: number, since: string, of: (request: Request) => Move): Command => ({
  name,
  arity,
  flags: ["write", "denyoom"],
  group: "list",
  summary: "Moves an element from one end of a list to an end of another, or of the same.",
  since,
  keys: SOURCE_AND_TARGET,
  run(client, request) {
    const move = of(request);
    if (!takeFromFirst(client, [move.source], () => moved(client, move))) client.reply.null();
  },
});

const waitsToMove = (name: "blmove" | "brpoplpush", arity: number, since: string, of: (request: Request) => Move): Command => ({
  name,
  arity,
  flags: ["write", "denyoom", "noscript", "blocking"],
  group: "list",
  summary: "Moves an element from one list to another, as soon as there is one.",
  since,
  keys: SOURCE_AND_TARGET,
  run(client, request) {
    const move = of(request);
    const timeoutMs = timeoutMsAt(client, request, arity - 1);
    takeOrWait(client, { keys: [move.source], type: LIST }, timeoutMs, () => moved(client, move));
  },
});

/** Moves and replies; undefined where the source is not there. Throws `WRONGTYPE`, and then nothing has changed. */
function moved(client: Client, { source, target, from, to, effect }: Move): Move["effect"] | undefined {
  const { db } = client;
  const sourceAt = db.findText(source);
  if (sourceAt === 0) return undefined;
  const list = listAt(client, sourceAt);
  const targetAt = db.findText(target);
  let pushedTo = targetAt === 0 ? undefined : listAt(client, targetAt);
  const element = list.pop(from)!; // no list is empty
  if (pushedTo === undefined) {
    pushedTo = new List();
    db.setObjectText(target, pushedTo);
  }
  pushedTo.push(to, element);
  client.wroteText(target, "l", to === "left" ? "lpush" : "rpush");
  took(client, source, list, from);
  client.reply.bulk(element);
  return effect;
}

const waitsToPop = (name: "blpop" | "brpop", end: End): Command => ({
  name,
  arity: -3,
  flags: ["write", "noscript", "blocking"],
  group: "list",
  summary: `Removes the ${end === "left" ? "first" : "last"} element of the first of these lists that has one, as soon as one has.`,
  since: "2.0.0",
  keys: [{ flags: ["RW", "access", "delete"], begin: { index: 1 }, find: { last: -2, step: 1 } }],
  run(client, request) {
    const keys = request.texts(1, request.count - 1);
    const timeoutMs = timeoutMsAt(client, request, request.count - 1);
    takeOrWait(client, { keys, type: LIST }, timeoutMs, (key) => poppedOne(client, key, end));
  },
});

function poppedOne(client: Client, key: string, end: End): readonly string[] | undefined {
  const list = listOf(client, key);
  if (list === undefined) return undefined;
  client.reply.array(2);
  client.reply.bulk(key);
  client.reply.bulk(list.pop(end)!); // no list is empty
  took(client, key, list, end);
  return [POPS[end], key];
}

const POPS: Readonly<Record<End, string>> = { left: "LPOP", right: "RPOP" };

interface PopMany {
  readonly keys: readonly string[];
  readonly end: End;
  readonly count: number;
}

/** Of `numkeys key… LEFT|RIGHT [COUNT n]` from this index on. */
function popManyOf(request: Request, index: number): PopMany {
  const keyCount = integerAt(request, index, { min: 1, error: "ERR numkeys should be greater than 0" });
  const first = index + 1;
  const at = first + keyCount;
  if (at >= request.count) throw syntaxError();
  const end = endAt(request, at);
  if (request.count === at + 1) return { keys: request.texts(first, at), end, count: 1 };
  if (request.count !== at + 3 || request.word(at + 1) !== "count") throw syntaxError();
  return {
    keys: request.texts(first, at),
    end,
    count: integerAt(request, at + 2, { min: 1, error: "ERR count should be greater than 0" }),
  };
}

const lmpop: Command = {
  name: "lmpop",
  arity: -4,
  flags: ["write"],
  group: "list",
  summary: "Removes elements of the first of these lists that has any.",
  since: "7.0.0",
  keys: keysCountedAt(1, "RW", "access", "delete"),
  run(client, request) {
    const wanted = popManyOf(request, 1);
    if (!takeFromFirst(client, wanted.keys, (key) => poppedMany(client, key, wanted))) client.reply.nullArray();
  },
};

const blmpop: Command = {
  name: "blmpop",
  arity: -5,
  flags: ["write", "blocking"],
  group: "list",
  summary: "Removes elements of the first of these lists that has any, as soon as one has.",
  since: "7.0.0",
  keys: keysCountedAt(2, "RW", "access", "delete"),
  run(client, request) {
    const timeoutMs = timeoutMsAt(client, request, 1);
    const wanted = popManyOf(request, 2);
    takeOrWait(client, { keys: wanted.keys, type: LIST }, timeoutMs, (key) => poppedMany(client, key, wanted));
  },
};

function poppedMany(client: Client, key: string, { end, count }: PopMany): readonly string[] | undefined {
  const { reply } = client;
  const list = listOf(client, key);
  if (list === undefined) return undefined;
  const taken = Math.min(count, list.size);
  reply.array(2);
  reply.bulk(key);
  reply.array(taken);
  for (let i = 0; i < taken; i++) reply.bulk(list.pop(end)!); // there are so many
  took(client, key, list, end);
  return [POPS[end], key, String(taken)];
}

/** Elements were taken from a list: who has to know is told, and an empty list goes. */
function took(client: Client, key: string, list: List, end: End): void {
  client.wroteText(key, "l", end === "left" ? "lpop" : "rpop");
  if (list.size > 0) return;
  client.db.remove(client.db.peekText(key));
  client.wroteText(key, "g", "del");
}

function listOf(client: Client, key: string): List | undefined {
  const address = client.db.findText(key);
  return address === 0 ? undefined : listAt(client, address);
}

function endAt(request: Request, index: number): End {
  const end = request.word(index);
  if (end !== "left" && end !== "right") throw syntaxError();
  return end;
}

export const LIST_MOVE_COMMANDS: readonly Command[] = [
  waitsToMove("blmove", 6, "6.2.0", moveOf),
  blmpop,
  waitsToPop("blpop", "left"),
  waitsToPop("brpop", "right"),
  waitsToMove("brpoplpush", 4, "2.2.0", rotationOf),
  moves("lmove", 5, "6.2.0", moveOf),
  lmpop,
  moves("rpoplpush", 3, "1.2.0", rotationOf),
];
