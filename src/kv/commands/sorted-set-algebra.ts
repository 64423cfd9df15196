import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError, wrongType } from "../command-error.ts";
import { SET, ZSET } from "../keyspace/value.ts";
import { doubleAt, integerAt } from "../numbers.ts";
import type { SetValue } from "../types/set-value.ts";
import { SortedSet } from "../types/sorted-set.ts";
import { keyAt, keysCountedAt, type Command } from "./command.ts";
import { replyMembers, storeSortedSet } from "./sorted-set-range.ts";

type Operation = "union" | "inter" | "diff";
type Aggregate = (a: number, b: number) => number;

/** False: no more of them. */
type Visit = (member: string, score: number) => boolean | void;

/** A sorted set, or a set whose members all have the score 1. */
interface Source {
  readonly size: number;
  scoreOf(member: string): number | undefined;
  each(visit: Visit): void;
}

interface Weighted {
  readonly source: Source;
  readonly weight: number;
}

const NOTHING: Source = { size: 0, scoreOf: () => undefined, each: () => {} };

function sourceAt(client: Client, request: Request, index: number): Source {
  const { db } = client;
  const address = db.read(request, index);
  if (address === 0) return NOTHING;
  if (db.typeOf(address) === ZSET) return db.objectOf(address) as SortedSet;
  if (db.typeOf(address) !== SET) throw wrongType();
  const set = db.objectOf(address) as SetValue;
  return {
    size: set.size,
    scoreOf: (member) => (set.has(member) ? 1 : undefined),
    each: (visit) => set.each((member) => visit(member, 1) !== false),
  };
}

interface AlgebraQuery {
  readonly sources: readonly Weighted[];
  readonly aggregate: Aggregate;
  readonly withScores: boolean;
}

/** Infinities of both signs add up to nothing. */
const sum: Aggregate = (a, b) => (Number.isNaN(a + b) ? 0 : a + b);
const AGGREGATES: ReadonlyMap<string, Aggregate> = new Map<string, Aggregate>([
  ["sum", sum],
  ["min", (a, b) => Math.min(a, b)],
  ["max", (a, b) => Math.max(a, b)],
]);

function sourcesAt(
  client: Client,
  request: Request,
  index: number,
  command: string,
): { readonly sources: readonly Source[]; readonly end: number } {
  const count = integerAt(request, index);
  if (count < 1) throw new CommandError(`ERR at least 1 input key is needed for '${command}' command`);
  const end = index + 1 + count;
  if (end > request.count) throw syntaxError();
  const sources: Source[] = [];
  for (let i = index + 1; i < end; i++) sources.push(sourceAt(client, request, i));
  return { sources, end };
}

/** Of `numkeys key… [options]` from this index on. */
function queryAt(
  client: Client,
  request: Request,
  index: number,
  form: { readonly operation: Operation; readonly command: string },
): AlgebraQuery {
  const { sources, end } = sourcesAt(client, request, index, form.command);
  const weights = sources.map(() => 1);
  let aggregate = sum;
  let withScores = false;
  for (let i = end; i < request.count; i++) {
    const word = request.word(i);
    if (word === "withscores" && index === 1) withScores = true;
    else if (form.operation === "diff") throw syntaxError();
    else if (word === "weights" && i + sources.length < request.count)
      for (let source = 0; source < sources.length; source++) weights[source] = doubleAt(request, ++i, "ERR weight value is not a float");
    else if (word === "aggregate" && i + 1 < request.count) {
      const given = AGGREGATES.get(request.word(++i));
      if (given === undefined) throw syntaxError();
      aggregate = given;
    } else throw syntaxError();
  }
  return { sources: sources.map((source, i) => ({ source, weight: weights[i]! })), aggregate, withScores };
}

const weightedScore = (score: number, weight: number): number => {
  const weighted = score * weight;
  return Number.isNaN(weighted) ? 0 : weighted;
};

const bySize = (sources: readonly Weighted[]): Weighted[] => sources.toSorted((a, b) => a.source.size - b.source.size);

function union({ sources, aggregate }: AlgebraQuery, found: (member: string, score: number) => void): void {
  const scores = new Map<string, number>();
  for (const { source, weight } of bySize(sources))
    source.each((member, score) => {
      const before = scores.get(member);
      const weighted = weightedScore(score, weight);
      scores.set(member, before === undefined ? weighted : aggregate(before, weighted));
    });
  for (const [member, score] of scores) found(member, score);
}

function intersection({ sources, aggregate }: AlgebraQuery, found: Visit): void {
  const [smallest, ...others] = bySize(sources);
  smallest!.source.each((member, score) => {
    // there is at least one
    let total = weightedScore(score, smallest!.weight);
    for (const { source, weight } of others) {
      const other = source.scoreOf(member);
      if (other === undefined) return;
      total = aggregate(total, weightedScore(other, weight));
    }
    return found(member, total);
  });
}

function difference({ sources }: AlgebraQuery, found: (member: string, score: number) => void): void {
  const [first, ...others] = sources;
  first!.source.each((member, score) => {
    // there is at least one
    if (others.every(({ source }) => source.scoreOf(member) === undefined)) found(member, score);
  });
}

const OPERATIONS = { union, inter: intersection, diff: difference };

function resultOf(client: Client, operation: Operation, query: AlgebraQuery): SortedSet {
  const result = new SortedSet();
  OPERATIONS[operation](query, (member, score) => result.set(member, score, client.store.parameters));
  return result;
}

const SUMMARIES: Readonly<Record<Operation, string>> = {
  union: "The members of any of these sorted sets.",
  inter: "The members that all these sorted sets have.",
  diff: "The members of the first sorted set that none of the others has.",
};

const reads = (operation: Operation): Command => ({
  name: `z${operation}`,
  arity: -3,
  flags: ["readonly"],
  group: "sorted-set",
  summary: SUMMARIES[operation],
  since: "6.2.0",
  keys: keysCountedAt(1, "RO", "access"),
  run(client, request) {
    const query = queryAt(client, request, 1, { operation, command: `z${operation}` });
    const result = resultOf(client, operation, query);
    replyMembers(client, result, { from: 0, to: result.size }, { reversed: false, withScores: query.withScores });
  },
});

const stores = (operation: Operation, since: string): Command => ({
  name: `z${operation}store`,
  arity: -4,
  flags: ["write", "denyoom"],
  group: "sorted-set",
  summary: `Sets a key: ${SUMMARIES[operation].toLowerCase()}`,
  since,
  keys: [...keyAt(1, "OW", "update"), ...keysCountedAt(2, "RO", "access")],
  run(client, request) {
    const name = `z${operation}store`;
    const query = queryAt(client, request, 2, { operation, command: name });
    storeSortedSet(client, request, resultOf(client, operation, query), { event: name });
  },
});

const zintercard: Command = {
  name: "zintercard",
  arity: -3,
  flags: ["readonly"],
  group: "sorted-set",
  summary: "How many members all these sorted sets have, as far as they are worth counting.",
  since: "7.0.0",
  keys: keysCountedAt(1, "RO", "access"),
  run(client, request) {
    const { sources, end } = sourcesAt(client, request, 1, "zintercard");
    let limit = Infinity;
    if (request.count > end) {
      if (request.count !== end + 2 || request.word(end) !== "limit") throw syntaxError();
      limit = integerAt(request, end + 1, { min: 0, error: "ERR LIMIT can't be negative" }) || Infinity;
    }
    let common = 0;
    intersection({ sources: sources.map((source) => ({ source, weight: 1 })), aggregate: sum, withScores: false }, () => ++common < limit);
    client.reply.integer(common);
  },
};

export const SORTED_SET_ALGEBRA_COMMANDS: readonly Command[] = [
  reads("diff"),
  stores("diff", "6.2.0"),
  reads("inter"),
  zintercard,
  stores("inter", "2.0.0"),
  reads("union"),
  stores("union", "2.0.0"),
];
