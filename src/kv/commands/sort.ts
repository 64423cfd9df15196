import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, wrongType } from "../command-error.ts";
import type { Database } from "../keyspace/database.ts";
import { HASH_TYPE, LIST, SET, STRING, ZSET, type Value } from "../keyspace/value.ts";
import { doubleOf } from "../numbers.ts";
import type { HashValue } from "../types/hash-value.ts";
import { List } from "../types/list.ts";
import type { SetValue } from "../types/set-value.ts";
import type { SortedSet } from "../types/sorted-set.ts";
import { keyAt, type Command } from "./command.ts";
import { sortKeysOf, sortOptionsOf, type SortOptions } from "./sort-options.ts";

const CATEGORIES = ["set", "sortedset", "list", "dangerous"] as const;

const sort: Command = {
  name: "sort",
  arity: -2,
  flags: ["write", "denyoom", "movablekeys"],
  group: "generic",
  summary: "The elements of a list, set or sorted set, in order.",
  since: "1.0.0",
  categories: CATEGORIES,
  keys: [
    ...keyAt(1, "RO", "access"),
    { flags: ["RO", "access"], begin: "unknown", find: "unknown" },
    { flags: ["OW", "update"], begin: "unknown", find: "unknown" },
  ],
  keysOf: sortKeysOf,
  run(client, request) {
    const options = sortOptionsOf(request, true);
    checkPatterns(client, options);
    const found = sorted(client, request, options);
    if (options.store === undefined) replyEach(client, found, options);
    else storeEach(client, request, { found, options, target: options.store });
  },
};

const sortRo: Command = {
  name: "sort_ro",
  arity: -2,
  flags: ["readonly", "movablekeys"],
  group: "generic",
  summary: "SORT without STORE.",
  since: "7.0.0",
  categories: CATEGORIES,
  keys: [...keyAt(1, "RO", "access"), { flags: ["RO", "access"], begin: "unknown", find: "unknown" }],
  keysOf: () => [1],
  run(client, request) {
    const options = sortOptionsOf(request, false);
    checkPatterns(client, options);
    replyEach(client, sorted(client, request, options), options);
  },
};

const denied = (option: string): CommandError =>
  new CommandError(`ERR ${option} option of SORT denied due to insufficient ACL permissions.`);

/** Which keys the patterns stand for nobody knows beforehand, so that only who may read all of them may use such. */
function checkPatterns(client: Client, { by, gets }: SortOptions): void {
  if (client.user.unrestricted || client.user.readsAllKeys) return;
  if (by?.includes("*") === true) throw denied("BY");
  if (gets.some((pattern) => pattern !== "#")) throw denied("GET");
}

/** The elements in order, cut to the limit. */
function sorted(client: Client, request: Request, options: SortOptions): readonly string[] {
  const { db } = client;
  const address = db.read(request, 1);
  if (address === 0) return [];
  const type = db.typeOf(address);
  if (type !== LIST && type !== SET && type !== ZSET) throw wrongType();
  const elements = elementsOf(db.objectOf(address)!); // no string
  const { offset, count, descending } = options;
  const end = count < 0 ? elements.length : offset + count;
  if (isConstant(options)) {
    // A set has no order of its own: what is stored, or given to a script, must be the same each time.
    if (type === SET && (options.store !== undefined || client.caller !== undefined))
      return inOrder(db, elements, { ...options, alpha: true, by: undefined }).slice(offset, end);
    return (type === ZSET && descending ? elements.toReversed() : elements).slice(offset, end);
  }
  return inOrder(db, elements, options).slice(offset, end);
}

/** A pattern without a star: nothing is to be sorted. */
const isConstant = ({ by }: SortOptions): boolean => by !== undefined && !by.includes("*");

function elementsOf(value: Value): string[] {
  const elements: string[] = [];
  if (value.type === LIST) (value as List).each(0, value.size, (element) => elements.push(element));
  else if (value.type === SET) (value as SetValue).each((member) => elements.push(member) > 0);
  else (value as SortedSet).each((member) => elements.push(member) > 0);
  return elements;
}

function inOrder(db: Database, elements: readonly string[], options: SortOptions): string[] {
  const { by, alpha, descending } = options;
  const weightTexts = by === undefined ? elements : elements.map((element) => lookUp(db, by, element));
  const weights = alpha ? weightTexts : weightTexts.map((text) => (text === undefined ? 0 : weightOf(text)));
  const direction = descending ? -1 : 1;
  const compared = (a: number, b: number): number => compare(weights[a], weights[b]) || (alpha ? 0 : compare(elements[a], elements[b]));
  return Array.from(elements.keys())
    .toSorted((a, b) => direction * compared(a, b))
    .map((position) => elements[position]!);
}

/** What is not there comes first. */
function compare(a: string | number | undefined, b: string | number | undefined): number {
  if (a === b) return 0;
  if (a === undefined) return -1;
  return b === undefined || a > b ? 1 : -1;
}

/** As C's `strtod` takes it: an empty text is 0. */
function weightOf(text: string): number {
  const trimmed = text.trimStart();
  const weight = trimmed === "" ? 0 : doubleOf(trimmed);
  if (weight === undefined) throw new CommandError("ERR One or more scores can't be converted into double");
  return weight;
}

/** What the pattern names for an element: `#`, the string of a key where `*` stands for it, or with `->field` a hash's field. */
function lookUp(db: Database, pattern: string, element: string): string | undefined {
  if (pattern === "#") return element;
  const star = pattern.indexOf("*");
  if (star < 0) return undefined;
  const arrow = pattern.indexOf("->", star + 1);
  const field = arrow < 0 ? "" : pattern.slice(arrow + 2);
  const key = pattern.slice(0, star) + element + pattern.slice(star + 1, field === "" ? pattern.length : arrow);
  const address = db.findText(key);
  if (address === 0) return undefined;
  if (field === "") return db.typeOf(address) === STRING ? db.stringTextOf(address) : undefined;
  return db.typeOf(address) === HASH_TYPE ? (db.objectOf(address) as HashValue).get(field) : undefined;
}

function replyEach({ db, reply }: Client, found: readonly string[], { gets }: SortOptions): void {
  if (gets.length === 0) return reply.bulks(found);
  reply.array(found.length * gets.length);
  for (const element of found) for (const pattern of gets) reply.bulkOrNull(lookUp(db, pattern, element));
}

interface Stored {
  readonly found: readonly string[];
  readonly options: SortOptions;
  /** Index of the argument. */
  readonly target: number;
}

function storeEach(client: Client, request: Request, { found, options: { gets }, target }: Stored): void {
  const { db, reply } = client;
  const list = new List();
  for (const element of found)
    if (gets.length === 0) list.push("right", element);
    else for (const pattern of gets) list.push("right", lookUp(db, pattern, element) ?? "");
  if (list.size > 0) {
    db.setObject(request, target, list);
    client.wrote(request, target, "l", "sortstore");
  } else {
    const before = db.peek(request, target);
    if (before !== 0) client.removed(request, target, before);
  }
  reply.integer(list.size);
}

export const SORT_COMMANDS: readonly Command[] = [sort, sortRo];
