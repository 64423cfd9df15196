import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { ZSET } from "../keyspace/value.ts";
import { doubleAt, digitsIn } from "../numbers.ts";
import { GIVEN, SortedSet } from "../types/sorted-set.ts";
import { keyAt, type Command } from "./command.ts";
import { replyScanned, scanOptionsAt } from "./scan-options.ts";
import { formatDouble } from "../../wire/resp/reply-writer.ts";

/** What `ZADD` does with a member. */
interface AddRules {
  /** Those that are not there, or those that are. */
  readonly only: "missing" | "present" | undefined;
  /** Those whose score would be greater, or less. */
  readonly compare: "greater" | "less" | undefined;
  readonly countsChanges: boolean;
  readonly increments: boolean;
  /** Index of the first score. */
  readonly first: number;
}

const PLAIN: AddRules = { only: undefined, compare: undefined, countsChanges: false, increments: false, first: 2 };
const INCREMENT: AddRules = { ...PLAIN, increments: true };
const LETTER_A = 65;

const zadd: Command = {
  name: "zadd",
  arity: -4,
  flags: ["write", "denyoom", "fast"],
  group: "sorted-set",
  summary: "Adds members with scores, or gives them other scores.",
  since: "1.2.0",
  keys: keyAt(1, "RW", "update"),
  run: addMembers,
};

/** What `ZADD` does, for a request that may have another name. */
export function addMembers(client: Client, request: Request): void {
  // No number begins with a letter but `inf`, and that takes the slow way.
  const rules = request.bytes[request.offsets[2]!]! < LETTER_A ? PLAIN : addRulesOf(request);
  const left = request.count - rules.first;
  if (left === 0 || left % 2 !== 0) throw syntaxError();
  if (rules.only === "missing" && rules.compare !== undefined) throw incompatible();
  if (rules.increments && left > 2) throw new CommandError("ERR INCR option supports a single increment-element pair");
  add(client, request, rules);
}

const incompatible = (): CommandError => new CommandError("ERR GT, LT, and/or NX options at the same time are not compatible");

function addRulesOf(request: Request): AddRules {
  let only: AddRules["only"];
  let compare: AddRules["compare"];
  let countsChanges = false;
  let increments = false;
  let i = 2;
  for (; i < request.count; i++) {
    const option = ADD_OPTIONS.get(request.word(i));
    if (option === undefined) break;
    if (option === "changes") countsChanges = true;
    else if (option === "increment") increments = true;
    else if (option === "missing" || option === "present") {
      if (only !== undefined && only !== option) throw new CommandError("ERR XX and NX options at the same time are not compatible");
      only = option;
    } else {
      if (compare !== undefined && compare !== option) throw incompatible();
      compare = option;
    }
  }
  return { only, compare, countsChanges, increments, first: i };
}

const ADD_OPTIONS: ReadonlyMap<string, "missing" | "present" | "greater" | "less" | "changes" | "increment"> = new Map([
  ["nx", "missing"],
  ["xx", "present"],
  ["gt", "greater"],
  ["lt", "less"],
  ["ch", "changes"],
  ["incr", "increment"],
]);

const zincrby: Command = {
  name: "zincrby",
  arity: 4,
  flags: ["write", "denyoom", "fast"],
  group: "sorted-set",
  summary: "Adds to the score of a member.",
  since: "1.2.0",
  keys: keyAt(1, "RW", "access", "update"),
  run: (client, request) => add(client, request, INCREMENT),
};

/** Nothing is changed where one of the scores is none. */
function add(client: Client, request: Request, rules: AddRules): void {
  if (request.count > rules.first + 2) for (let i = rules.first; i < request.count; i += 2) scoreAt(request, i);
  const first = scoreAt(request, rules.first);
  let set = client.findValue<SortedSet>(request, 1, ZSET);
  if (set === undefined) {
    if (rules.only === "present") return rules.increments ? client.reply.null() : client.reply.integer(0);
    set = new SortedSet();
    client.db.setObject(request, 1, set);
  }
  const { bytes, offsets, lengths } = request;
  const limits = client.store.parameters;
  let score = Number.NaN;
  const rule = rules === PLAIN ? GIVEN : (before: number, given: number): number => (score = scoreAfter(before, given, rules));
  let added = 0;
  let moved = 0;
  for (let i = rules.first; i < request.count; i += 2) {
    const given = i === rules.first ? first : scoreAt(request, i);
    const change = set.change(bytes, offsets[i + 1]!, lengths[i + 1]!, given, rule, limits);
    if (change === "added") added++;
    else if (change === "moved") moved++;
  }
  if (added + moved > 0) client.wrote(request, 1, "z", rules.increments ? "zincr" : "zadd");
  if (!rules.increments) client.reply.integer(rules.countsChanges ? added + moved : added);
  else if (Number.isNaN(score)) client.reply.null();
  else client.reply.double(score);
}

/** NaN where the rules let a member be as it is; before: NaN for one that is not there. */
function scoreAfter(before: number, given: number, rules: AddRules): number {
  if (Number.isNaN(before)) return rules.only === "present" ? Number.NaN : given;
  if (rules.only === "missing") return Number.NaN;
  const after = rules.increments ? before + given : given;
  if (Number.isNaN(after)) throw new CommandError("ERR resulting score is not a number (NaN)");
  if ((rules.compare === "greater" && after <= before) || (rules.compare === "less" && after >= before)) return Number.NaN;
  return after;
}

function scoreAt(request: Request, index: number): number {
  const quick = digitsIn(request.bytes, request.offsets[index]!, request.lengths[index]!);
  return Number.isNaN(quick) ? doubleAt(request, index) : quick;
}

const zrem: Command = {
  name: "zrem",
  arity: -3,
  flags: ["write", "fast"],
  group: "sorted-set",
  summary: "Removes members.",
  since: "1.2.0",
  keys: keyAt(1, "RW", "delete"),
  run(client, request) {
    const set = client.findValue<SortedSet>(request, 1, ZSET);
    let removed = 0;
    if (set !== undefined) for (let i = 2; i < request.count; i++) if (set.delete(request.text(i))) removed++;
    if (removed > 0) shrunk(client, request, set!, "zrem");
    client.reply.integer(removed);
  },
};

/** Members of the set at the first key are gone: who has to know is told, and an empty set goes. */
export function shrunk(client: Client, request: Request, set: SortedSet, event: string): void {
  client.wrote(request, 1, "z", event);
  if (set.size === 0) client.removed(request, 1, client.db.peek(request, 1));
}

const zcard: Command = {
  name: "zcard",
  arity: 2,
  flags: ["readonly", "fast"],
  group: "sorted-set",
  summary: "How many members a sorted set has.",
  since: "1.2.0",
  keys: keyAt(1, "RO"),
  run: (client, request) => client.reply.integer(client.readValue(request, 1, ZSET)?.size ?? 0),
};

const zscore: Command = {
  name: "zscore",
  arity: 3,
  flags: ["readonly", "fast"],
  group: "sorted-set",
  summary: "The score of a member.",
  since: "1.2.0",
  keys: keyAt(1, "RO", "access"),
  run: (client, request) => replyScore(client, client.readValue<SortedSet>(request, 1, ZSET)?.scoreOf(request.text(2))),
};

const zmscore: Command = {
  name: "zmscore",
  arity: -3,
  flags: ["readonly", "fast"],
  group: "sorted-set",
  summary: "The scores of several members.",
  since: "6.2.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const set = client.readValue<SortedSet>(request, 1, ZSET);
    client.reply.array(request.count - 2);
    for (let i = 2; i < request.count; i++) replyScore(client, set?.scoreOf(request.text(i)));
  },
};

function replyScore({ reply }: Client, score: number | undefined): void {
  if (score === undefined) reply.null();
  else reply.double(score);
}

const rank = (name: "zrank" | "zrevrank", reversed: boolean): Command => ({
  name,
  arity: -3,
  flags: ["readonly", "fast"],
  group: "sorted-set",
  summary: `How many members come ${reversed ? "after" : "before"} a member.`,
  since: "2.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { reply } = client;
    const withScore = request.count > 3;
    if (request.count > 4 || (withScore && request.word(3) !== "withscore")) throw syntaxError();
    const set = client.readValue<SortedSet>(request, 1, ZSET);
    const member = request.text(2);
    const score = set?.scoreOf(member);
    if (set === undefined || score === undefined) return withScore ? reply.nullArray() : reply.null();
    if (withScore) reply.array(2);
    const before = set.rankOf(score, member);
    reply.integer(reversed ? set.size - 1 - before : before);
    if (withScore) reply.double(score);
  },
});

const zscan: Command = {
  name: "zscan",
  arity: -3,
  flags: ["readonly"],
  group: "sorted-set",
  summary: "Goes through the members, some at each call.",
  since: "2.8.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { cursor, count, matches } = scanOptionsAt(request, 2);
    const found: string[] = [];
    const set = client.readValue<SortedSet>(request, 1, ZSET);
    const next = set?.scan(cursor, count, (member, score) => {
      if (matches(member)) found.push(member, formatDouble(score));
    });
    replyScanned(client, next ?? 0, found);
  },
};

export const SORTED_SET_COMMANDS: readonly Command[] = [
  zadd,
  zcard,
  zincrby,
  zmscore,
  rank("zrank", false),
  zrem,
  rank("zrevrank", true),
  zscan,
  zscore,
];
