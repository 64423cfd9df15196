import { CommandError } from "../command-error.ts";
import { integerAt, doubleOf } from "../numbers.ts";
import type { Request } from "../../wire/resp/request.ts";
import { ANY_SCORE } from "../types/score-tree.ts";
import { LAST } from "../types/scored-table.ts";
import type { SortedSet } from "../types/sorted-set.ts";

/** What a range of a sorted set goes by. */
export type RangeKind = "rank" | "score" | "lex";

/** Ranks from one up to, not including, another; empty where they are equal. */
export interface Ranks {
  readonly from: number;
  readonly to: number;
}

/** Finds the ranks of a range in a set. */
export type Range = (set: SortedSet) => Ranks;

/** The range between two arguments. With `reversed`, ranks count from the end, and the first argument of the others is the greater bound. Throws where they are none. */
export function rangeAt(request: Request, index: number, kind: RangeKind, reversed = false): Range {
  const [low, high] = reversed && kind !== "rank" ? [index + 1, index] : [index, index + 1];
  if (kind === "rank") return rankRange(integerAt(request, low), integerAt(request, high), reversed);
  if (kind === "score") return scoreRange(scoreBoundOf(request.text(low)), scoreBoundOf(request.text(high)));
  return lexRange(lexBoundOf(request.text(low)), lexBoundOf(request.text(high)));
}

function rankRange(start: number, end: number, reversed: boolean): Range {
  return ({ size }) => {
    const first = start < 0 ? Math.max(0, size + start) : start;
    const last = Math.min(size - 1, end < 0 ? size + end : end);
    if (first > last) return { from: 0, to: 0 };
    return reversed ? { from: size - 1 - last, to: size - first } : { from: first, to: last + 1 };
  };
}

interface Bound<T> {
  readonly value: T;
  readonly exclusive: boolean;
}

function scoreBoundOf(text: string): Bound<number> {
  const exclusive = text.startsWith("(");
  const value = doubleOf(exclusive ? text.slice(1) : text);
  if (value === undefined) throw new CommandError("ERR min or max is not a float");
  return { value, exclusive };
}

const scoreRange =
  (low: Bound<number>, high: Bound<number>): Range =>
  (set) =>
    ordered(set.rankOf(low.value, low.exclusive ? LAST : ""), set.rankOf(high.value, high.exclusive ? "" : LAST));

type LexBound = "least" | "greatest" | Bound<string>;

function lexBoundOf(text: string): LexBound {
  if (text === "-") return "least";
  if (text === "+") return "greatest";
  if (text.startsWith("[")) return { value: text.slice(1), exclusive: false };
  if (text.startsWith("(")) return { value: text.slice(1), exclusive: true };
  throw new CommandError("ERR min or max not valid string range item");
}

function lexRange(low: LexBound, high: LexBound): Range {
  return (set) => {
    const rankOf = (bound: LexBound, after: boolean): number => {
      if (bound === "least") return 0;
      if (bound === "greatest") return set.size;
      // Nothing lies between a text and the same with a zero byte after it.
      return set.rankOf(ANY_SCORE, after ? `${bound.value}\0` : bound.value);
    };
    return ordered(rankOf(low, typeof low === "object" && low.exclusive), rankOf(high, typeof high === "object" && !high.exclusive));
  };
}

const ordered = (from: number, to: number): Ranks => (from < to ? { from, to } : { from: 0, to: 0 });
