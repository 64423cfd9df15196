import { ownOf } from "../../base/own.ts";
import type { Request } from "../../wire/resp/request.ts";
import { syntaxError } from "../command-error.ts";
import { integerAt } from "../numbers.ts";
import type { FoundKey } from "./found-keys.ts";

export interface SortOptions {
  /** Pattern of the keys that hold the weights; undefined: the elements are their own. */
  readonly by: string | undefined;
  /** Patterns of the keys that are answered for each element; none: the element itself. */
  readonly gets: readonly string[];
  readonly alpha: boolean;
  readonly descending: boolean;
  readonly offset: number;
  /** Below 0: all. */
  readonly count: number;
  /** Index of the argument. */
  readonly store: number | undefined;
}

/** Arguments after those words. */
const FOLLOWING: Readonly<Record<string, number>> = { asc: 0, desc: 0, alpha: 0, by: 1, get: 1, limit: 2, store: 1 };

export function sortOptionsOf(request: Request, mayStore: boolean): SortOptions {
  const gets: string[] = [];
  let options: SortOptions = { by: undefined, gets, alpha: false, descending: false, offset: 0, count: -1, store: undefined };
  for (let i = 2; i < request.count; i++) {
    const word = request.word(i);
    const following = ownOf(FOLLOWING, word);
    if (following === undefined || i + following >= request.count || (word === "store" && !mayStore)) throw syntaxError();
    if (word === "asc" || word === "desc") options = { ...options, descending: word === "desc" };
    else if (word === "alpha") options = { ...options, alpha: true };
    else if (word === "by") options = { ...options, by: request.text(i + 1) };
    else if (word === "get") gets.push(request.text(i + 1));
    else if (word === "store") options = { ...options, store: i + 1 };
    else options = { ...options, offset: Math.max(0, integerAt(request, i + 1)), count: integerAt(request, i + 2) };
    i += following;
  }
  return options;
}

/** The key that is sorted, and the last one that the result may go to. */
export function sortKeysOf(request: Request): readonly (number | FoundKey)[] {
  let store: number | undefined;
  for (let i = 2; i < request.count; i++) {
    const word = request.word(i);
    if (word === "store" && i + 1 < request.count) store = i + 1;
    i += ownOf(FOLLOWING, word) ?? 0;
  }
  return store === undefined ? [1] : [1, { index: store, flags: ["OW", "update"] }];
}
