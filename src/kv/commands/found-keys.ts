import type { Request } from "../../wire/resp/request.ts";
import type { Command, KeyFlag, KeySpec } from "./command.ts";

/** A key among the arguments of a call. */
export interface FoundKey {
  readonly index: number;
  readonly flags: readonly KeyFlag[];
}

const soleIndexes = new Map<Command, number>();

/** Where a command has its key that never has another, without a look at the call; -1: it is not of that kind. */
export function soleKeyIndex(command: Command): number {
  const known = soleIndexes.get(command);
  if (known !== undefined) return known;
  const index = newSoleIndex(command);
  soleIndexes.set(command, index);
  return index;
}

function newSoleIndex(command: Command): number {
  const { keys = [] } = command;
  const [spec] = keys;
  if (spec === undefined || keys.length > 1) return -1;
  const { flags, begin, find } = spec;
  if (command.keysOf !== undefined && !flags.includes("variable_flags")) return -1; // those ask for what is done with the key, not where it stands
  const isOne = typeof begin === "object" && "index" in begin && typeof find === "object" && "last" in find && find.last === 0;
  return isOne ? begin.index : -1;
}

/** The keys of a call, by the command's specifications or its own function. */
export function keysOf(command: Command, request: Request): readonly FoundKey[] {
  const specs = command.keys ?? [];
  if (command.keysOf !== undefined)
    return command.keysOf(request).map((found) => (typeof found === "number" ? { index: found, flags: specs[0]?.flags ?? ["RW"] } : found));
  return specs.flatMap((spec) => keysBy(spec, request));
}

function keysBy({ flags, begin, find }: KeySpec, request: Request): FoundKey[] {
  const first = beginOf(begin, request);
  if (first === undefined || find === "unknown") return [];
  const found: FoundKey[] = [];
  if ("countAt" in find) {
    const count = Number(request.count > first + find.countAt ? request.text(first + find.countAt) : Number.NaN);
    for (let i = 0; i < count; i++) {
      const index = first + find.first + i * find.step;
      if (index >= request.count) return [];
      found.push({ index, flags });
    }
    return found;
  }
  const { limit = 0 } = find;
  const last =
    find.last >= 0
      ? first + find.last
      : limit <= 1
        ? request.count + find.last
        : first + Math.floor((request.count - first) / limit) + find.last;
  for (let index = first; index <= last && index < request.count; index += find.step) found.push({ index, flags });
  return found;
}

/** Where keys begin; `from` below 0 counts from the end and looks backwards. */
function beginOf(begin: KeySpec["begin"], request: Request): number | undefined {
  if (begin === "unknown") return undefined;
  if ("index" in begin) return begin.index < request.count ? begin.index : undefined;
  const keyword = begin.keyword.toLowerCase();
  if (begin.from >= 0) {
    for (let i = begin.from; i < request.count; i++) if (request.word(i) === keyword) return i + 1;
  } else for (let i = request.count + begin.from; i > 0; i--) if (request.word(i) === keyword) return i + 1;
  return undefined;
}

/** Where keys stand depends on the other arguments: routers have to ask. */
export const hasMovableKeys = ({ keys = [] }: Command): boolean =>
  keys.some(
    ({ flags, begin, find }) =>
      begin === "unknown" || find === "unknown" || "keyword" in begin || "countAt" in find || flags.includes("incomplete"),
  );
