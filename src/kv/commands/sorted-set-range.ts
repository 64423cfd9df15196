import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { ZSET } from "../keyspace/value.ts";
import { integerAt } from "../numbers.ts";
import { GIVEN, SortedSet } from "../types/sorted-set.ts";
import { keyAt, type Command } from "./command.ts";
import { shrunk } from "./sorted-set.ts";
import { rangeAt, type Range, type RangeKind, type Ranks } from "./sorted-set-bounds.ts";

interface RangeQuery {
  readonly range: Range;
  readonly reversed: boolean;
  readonly withScores: boolean;
  readonly limit: { readonly offset: number; readonly count: number } | undefined;
}

/** What a command says of itself, and so no option can. */
interface RangeForm {
  readonly kind?: RangeKind;
  readonly reversed?: boolean;
  readonly stores?: boolean;
}

/** Of `min max [options]` from this index on. */
function queryAt(request: Request, index: number, form: RangeForm): RangeQuery {
  let { kind, reversed } = form;
  let withScores = false;
  let limit: RangeQuery["limit"];
  for (let i = index + 2; i < request.count; i++) {
    const word = request.word(i);
    if (word === "withscores" && form.stores !== true) withScores = true;
    else if (word === "limit" && i + 2 < request.count) {
      limit = { offset: integerAt(request, i + 1), count: integerAt(request, i + 2) };
      i += 2;
    } else if (word === "rev" && form.reversed === undefined) reversed = true;
    else if (word === "bylex" && form.kind === undefined) kind = "lex";
    else if (word === "byscore" && form.kind === undefined) kind = "score";
    else throw syntaxError();
  }
  kind ??= "rank";
  reversed ??= false;
  if (limit !== undefined && kind === "rank")
    throw new CommandError("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
  if (withScores && kind === "lex") throw new CommandError("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
  return { range: rangeAt(request, index, kind, reversed), reversed, withScores, limit };
}

function ranksOf(set: SortedSet, { range, reversed, limit }: RangeQuery): Ranks {
  const { from, to } = range(set);
  if (limit === undefined) return { from, to };
  const offset = limit.offset < 0 ? Infinity : limit.offset;
  const left = Math.max(0, to - from - offset);
  const count = limit.count < 0 ? left : Math.min(left, limit.count);
  if (count === 0) return { from: 0, to: 0 };
  return reversed ? { from: to - offset - count, to: to - offset } : { from: from + offset, to: from + offset + count };
}

const range = (name: string, since: string, form: RangeForm): Command => ({
  name,
  arity: -4,
  flags: ["readonly"],
  group: "sorted-set",
  summary: "Members within a range.",
  since,
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const query = queryAt(request, 2, form);
    const set = client.readValue<SortedSet>(request, 1, ZSET);
    const ranks = set === undefined ? { from: 0, to: 0 } : ranksOf(set, query);
    replyMembers(client, set, ranks, query);
  },
});

/** The members one after the other; with scores in RESP3 as pairs. */
export function replyMembers(
  { reply }: Client,
  set: SortedSet | undefined,
  { from, to }: Ranks,
  { reversed, withScores }: { readonly reversed: boolean; readonly withScores: boolean },
): void {
  const count = set === undefined ? 0 : Math.max(0, Math.min(to, set.size) - from);
  const pairs = withScores && reply.protocol === 3;
  reply.array(withScores && !pairs ? 2 * count : count);
  set?.visit(from, to, reversed, (bytes, at, length, score) => {
    if (pairs) reply.array(2);
    reply.bulkBytes(bytes, at, length);
    if (withScores) reply.double(score);
  });
}

const zrangestore: Command = {
  name: "zrangestore",
  arity: -5,
  flags: ["write", "denyoom"],
  group: "sorted-set",
  summary: "Sets a key to the members of another within a range.",
  since: "6.2.0",
  keys: [...keyAt(1, "OW", "update"), ...keyAt(2, "RO", "access")],
  run(client, request) {
    const query = queryAt(request, 3, { stores: true });
    const set = client.readValue<SortedSet>(request, 2, ZSET);
    const stored = new SortedSet();
    if (set !== undefined) {
      const { from, to } = ranksOf(set, query);
      set.visit(from, to, false, (bytes, at, length, score) => {
        stored.change(bytes, at, length, score, GIVEN, client.store.parameters);
      });
    }
    storeSortedSet(client, request, stored, { event: "zrangestore" });
  },
};

interface StoredAs {
  /** Of the key; the first argument unless told. */
  readonly index?: number;
  readonly event: string;
}

/** Sets a key to a set, or removes it for an empty one, and replies with the size. */
export function storeSortedSet(client: Client, request: Request, set: SortedSet, { index = 1, event }: StoredAs): void {
  if (set.size > 0) {
    client.db.setObject(request, index, set);
    client.wrote(request, index, "z", event);
  } else {
    const address = client.db.find(request, index);
    if (address !== 0) client.removed(request, index, address);
  }
  client.reply.integer(set.size);
}

const count = (name: string, kind: RangeKind, since: string): Command => ({
  name,
  arity: 4,
  flags: ["readonly", "fast"],
  group: "sorted-set",
  summary: "How many members are within a range.",
  since,
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const within = rangeAt(request, 2, kind);
    const set = client.readValue<SortedSet>(request, 1, ZSET);
    const { from, to } = set === undefined ? { from: 0, to: 0 } : within(set);
    client.reply.integer(to - from);
  },
});

const remove = (name: string, kind: RangeKind, since: string): Command => ({
  name,
  arity: 4,
  flags: ["write"],
  group: "sorted-set",
  summary: "Removes the members within a range.",
  since,
  keys: keyAt(1, "RW", "delete"),
  run(client, request) {
    const within = rangeAt(request, 2, kind);
    const set = client.findValue<SortedSet>(request, 1, ZSET);
    const { from, to } = set === undefined ? { from: 0, to: 0 } : within(set);
    if (set !== undefined && from < to) {
      for (const { member } of set.slice(from, to)) set.delete(member);
      shrunk(client, request, set, name);
    }
    client.reply.integer(to - from);
  },
});

export const SORTED_SET_RANGE_COMMANDS: readonly Command[] = [
  count("zcount", "score", "2.0.0"),
  count("zlexcount", "lex", "2.8.9"),
  range("zrange", "1.2.0", {}),
  range("zrangebylex", "2.8.9", { kind: "lex", reversed: false }),
  range("zrangebyscore", "1.0.5", { kind: "score", reversed: false }),
  zrangestore,
  remove("zremrangebylex", "lex", "2.8.9"),
  remove("zremrangebyrank", "rank", "2.0.0"),
  remove("zremrangebyscore", "score", "1.2.0"),
  range("zrevrange", "1.2.0", { kind: "rank", reversed: true }),
  range("zrevrangebylex", "2.8.9", { kind: "lex", reversed: true }),
  range("zrevrangebyscore", "2.2.0", { kind: "score", reversed: true }),
];
