import { latin1Of } from "../../base/latin1.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { ZSET } from "../keyspace/value.ts";
import { doubleAt, integerAt } from "../numbers.ts";
import { CELL_BITS_MAX, cellsOf, distanceWithin, positionOfScore, scoreOfCell, type Position, type Shape } from "../types/geo.ts";
import { SortedSet } from "../types/sorted-set.ts";
import { keyAt, type Command, type KeySpec } from "./command.ts";
import { metersAt, positionAt, positionOf, replyDistance, replyPosition } from "./geo.ts";
import { storeSortedSet } from "./sorted-set-range.ts";

/** Which arguments a command takes, besides what all take. */
interface SearchForm {
  readonly name: string;
  readonly source: number;
  /** `position`, `member`: a circle around them stands among the first arguments; `options`: options say where, and the shape. */
  readonly around: "position" | "member" | "options";
  /** `option`: `STORE key` and `STOREDIST key`; `first`: the first argument is the key. */
  readonly stores: "never" | "option" | "first";
}

interface Search {
  /** Undefined where the set is not there, which has no members to start from. */
  shape: Shape | undefined;
  /** Meters of the unit of distances. */
  unit: number;
  withDistance: boolean;
  withHash: boolean;
  withPosition: boolean;
  order: "near" | "far" | undefined;
  count: number | undefined;
  /** The first that are found will do. */
  any: boolean;
  storeAt: number | undefined;
  storesDistance: boolean;
}

interface Found {
  readonly member: string;
  readonly score: number;
  readonly position: Position;
  readonly meters: number;
}

/** Where a search starts and how far it goes, as arguments tell it bit by bit. */
interface Area {
  center?: Position;
  centerGiven?: "member" | "position";
  radius?: number;
  box?: { readonly width: number; readonly height: number };
}

function searchOf(client: Client, request: Request, form: SearchForm): { readonly search: Search; readonly set: SortedSet | undefined } {
  const set = client.readValue<SortedSet>(request, form.source, ZSET);
  const search: Search = {
    shape: undefined,
    unit: 1,
    withDistance: false,
    withHash: false,
    withPosition: false,
    order: undefined,
    count: undefined,
    any: false,
    storeAt: form.stores === "first" ? 1 : undefined,
    storesDistance: false,
  };
  const area: Area = {};
  let i = form.source + 1;
  if (form.around !== "options") {
    const bySet = form.around === "member";
    if (!bySet) area.center = positionAt(request, i);
    else if (set !== undefined) area.center = centerAt(set, request, i);
    i += bySet ? 1 : 2;
    if (!bySet || set !== undefined) circleAt(request, i, area, search);
    i += 2;
  }
  while (i < request.count) {
    let used = commonOption(request, i, search);
    if (used === 0) used = form.around === "options" ? areaOption(request, i, { set, area, search }) : 0;
    if (used === 0) used = storeOption(request, i, form, search);
    if (used === 0) throw syntaxError();
    i += used;
  }
  check(form, request, search, area);
  search.shape = shapeOf(area, search.unit);
  return { search, set };
}

/** How many arguments the option took; 0: it is none of these. */
function commonOption(request: Request, index: number, search: Search): number {
  switch (request.word(index)) {
    case "withdist":
      search.withDistance = true;
      return 1;
    case "withhash":
      search.withHash = true;
      return 1;
    case "withcoord":
      search.withPosition = true;
      return 1;
    case "any":
      search.any = true;
      return 1;
    case "asc":
      search.order = "near";
      return 1;
    case "desc":
      search.order = "far";
      return 1;
    case "count":
      if (index + 1 >= request.count) return 0;
      search.count = integerAt(request, index + 1);
      if (search.count <= 0) throw new CommandError("ERR COUNT must be > 0");
      return 2;
    default:
      return 0;
  }
}

function storeOption(request: Request, index: number, { stores }: SearchForm, search: Search): number {
  const word = request.word(index);
  if (stores === "first" && word === "storedist") {
    search.storesDistance = true;
    return 1;
  }
  if (stores !== "option" || (word !== "store" && word !== "storedist") || index + 1 >= request.count) return 0;
  search.storeAt = index + 1;
  search.storesDistance = word === "storedist";
  return 2;
}

function areaOption(
  request: Request,
  index: number,
  { set, area, search }: { readonly set: SortedSet | undefined; readonly area: Area; readonly search: Search },
): number {
  const left = request.count - index - 1;
  switch (request.word(index)) {
    case "frommember":
      if (left < 1 || area.centerGiven === "position") return 0;
      area.centerGiven = "member";
      if (set !== undefined) area.center = centerAt(set, request, index + 1);
      return 2;
    case "fromlonlat":
      if (left < 2 || area.centerGiven === "member") return 0;
      area.centerGiven = "position";
      area.center = positionAt(request, index + 1);
      return 3;
    case "byradius":
      if (left < 2 || area.box !== undefined) return 0;
      circleAt(request, index + 1, area, search);
      return 3;
    case "bybox":
      if (left < 3 || area.radius !== undefined) return 0;
      boxAt(request, index + 1, area, search);
      return 4;
    default:
      return 0;
  }
}

function centerAt(set: SortedSet, request: Request, index: number): Position {
  const position = positionOf(set, request.text(index));
  if (position === undefined) throw new CommandError("ERR could not decode requested zset member");
  return position;
}

function circleAt(request: Request, index: number, area: Area, search: Search): void {
  area.radius = doubleAt(request, index, "ERR need numeric radius");
  if (area.radius < 0) throw new CommandError("ERR radius cannot be negative");
  search.unit = metersAt(request, index + 1);
}

function boxAt(request: Request, index: number, area: Area, search: Search): void {
  area.box = { width: doubleAt(request, index, "ERR need numeric width"), height: doubleAt(request, index + 1, "ERR need numeric height") };
  if (area.box.width < 0 || area.box.height < 0) throw new CommandError("ERR height or width cannot be negative");
  search.unit = metersAt(request, index + 2);
}

function check(form: SearchForm, request: Request, search: Search, area: Area): void {
  if (search.storeAt !== undefined && (search.withDistance || search.withHash || search.withPosition))
    throw new CommandError(
      `ERR ${form.stores === "first" ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS"} is not compatible with WITHDIST, WITHHASH and WITHCOORD options`,
    );
  if (form.around === "options" && area.centerGiven === undefined)
    throw new CommandError(`ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ${request.text(0)}`);
  if (form.around === "options" && area.radius === undefined && area.box === undefined)
    throw new CommandError(`ERR exactly one of BYRADIUS and BYBOX can be specified for ${request.text(0)}`);
  if (search.any && search.count === undefined) throw new CommandError("ERR the ANY argument requires COUNT argument");
}

function shapeOf({ center, radius, box }: Area, unit: number): Shape | undefined {
  if (center === undefined) return undefined;
  if (box !== undefined) return { kind: "box", center, widthMeters: box.width * unit, heightMeters: box.height * unit };
  return radius === undefined ? undefined : { kind: "circle", center, radiusMeters: radius * unit };
}

/** Members in the shape, in the order asked for, no more than asked for. */
function find(set: SortedSet, shape: Shape, search: Search): Found[] {
  const found = within(set, shape, search.any ? search.count! : Infinity); // `check` has seen to a count
  // So many are the nearest, unless any will do.
  const order = search.order ?? (search.count !== undefined && !search.any ? "near" : undefined);
  if (order === "near") found.sort((a, b) => a.meters - b.meters);
  else if (order === "far") found.sort((a, b) => b.meters - a.meters);
  return found.slice(0, search.count);
}

function within(set: SortedSet, shape: Shape, max: number): Found[] {
  const found: Found[] = [];
  for (const cell of cellsOf(shape)) {
    const least = scoreOfCell(cell);
    const next = least + 4 ** (CELL_BITS_MAX - cell.bits);
    set.visit(set.rankOf(least, ""), set.rankOf(next, ""), false, (bytes, from, length, score) => {
      const position = positionOfScore(score);
      const meters = distanceWithin(shape, position);
      if (meters !== undefined) found.push({ member: latin1Of(bytes, from, from + length), score, position, meters });
      return found.length < max;
    });
    if (found.length >= max) break;
  }
  return found;
}

function run(client: Client, request: Request, form: SearchForm): void {
  const { search, set } = searchOf(client, request, form);
  const found = set === undefined || search.shape === undefined ? [] : find(set, search.shape, search);
  if (search.storeAt === undefined) return replyFound(client, found, search);
  const stored = new SortedSet();
  for (const { member, score, meters } of found)
    stored.set(member, search.storesDistance ? meters / search.unit : score, client.store.parameters);
  const event = form.around === "options" ? "geosearchstore" : "georadiusstore";
  storeSortedSet(client, request, stored, { index: search.storeAt, event });
}

function replyFound(client: Client, found: readonly Found[], search: Search): void {
  const { reply } = client;
  const details = [search.withDistance, search.withHash, search.withPosition].filter(Boolean).length;
  reply.array(found.length);
  for (const { member, score, position, meters } of found) {
    if (details > 0) reply.array(details + 1);
    reply.bulk(member);
    if (search.withDistance) replyDistance(client, meters / search.unit);
    if (search.withHash) reply.integer(score);
    if (search.withPosition) replyPosition(client, position);
  }
}

const READ = keyAt(1, "RO", "access");
const storeKeys = (from: number): readonly KeySpec[] =>
  ["STORE", "STOREDIST"].map((keyword) => ({ flags: ["OW", "update"], begin: { keyword, from }, find: { last: 0, step: 1 } }));

const search = (form: SearchForm, arity: number, since: string, summary: string): Command => ({
  name: form.name,
  arity,
  flags: form.stores === "never" ? ["readonly"] : ["write", "denyoom"],
  group: "geo",
  summary,
  since,
  keys:
    form.stores === "first"
      ? [...keyAt(1, "OW", "update"), ...keyAt(2, "RO", "access")]
      : form.stores === "option"
        ? [...READ, ...storeKeys(-arity)]
        : READ,
  run: (client, request) => run(client, request, form),
});

export const GEO_SEARCH_COMMANDS: readonly Command[] = [
  search({ name: "georadius", source: 1, around: "position", stores: "option" }, -6, "3.2.0", "Members in a circle around a position."),
  search({ name: "georadius_ro", source: 1, around: "position", stores: "never" }, -6, "3.2.10", "Members in a circle around a position."),
  search({ name: "georadiusbymember", source: 1, around: "member", stores: "option" }, -5, "3.2.0", "Members in a circle around one."),
  search({ name: "georadiusbymember_ro", source: 1, around: "member", stores: "never" }, -5, "3.2.10", "Members in a circle around one."),
  search({ name: "geosearch", source: 1, around: "options", stores: "never" }, -7, "6.2.0", "Members in a circle or a box."),
  search(
    { name: "geosearchstore", source: 2, around: "options", stores: "first" },
    -8,
    "6.2.0",
    "Sets a key to the members in a circle or a box.",
  ),
];
