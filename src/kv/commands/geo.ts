import { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { ZSET } from "../keyspace/value.ts";
import { doubleAt } from "../numbers.ts";
import {
  cellOf,
  CELL_BITS_MAX,
  distanceMeters,
  geohashOf,
  LATITUDE_MAX,
  LONGITUDE_MAX,
  positionOfScore,
  scoreOfCell,
  type Position,
} from "../types/geo.ts";
import type { SortedSet } from "../types/sorted-set.ts";
import { keyAt, type Command } from "./command.ts";
import { addMembers } from "./sorted-set.ts";

const ADD_OPTIONS: ReadonlySet<string> = new Set(["nx", "xx", "ch"]);

const geoadd: Command = {
  name: "geoadd",
  arity: -5,
  flags: ["write", "denyoom"],
  group: "geo",
  summary: "Adds members with positions, or moves them.",
  since: "3.2.0",
  keys: keyAt(1, "RW", "update"),
  run(client, request) {
    const options: string[] = [];
    let first = 2;
    for (; first < request.count && ADD_OPTIONS.has(request.word(first)); first++) options.push(request.word(first));
    if ((request.count - first) % 3 !== 0 || (options.includes("nx") && options.includes("xx"))) throw syntaxError();
    const parts = ["ZADD", request.text(1), ...options];
    for (let i = first; i < request.count; i += 3)
      parts.push(String(scoreOfCell(cellOf(positionAt(request, i), CELL_BITS_MAX))), request.text(i + 2));
    addMembers(client, Request.of(parts));
    client.propagateAs(parts);
  },
};

export function positionAt(request: Request, index: number): Position {
  const longitude = doubleAt(request, index);
  const latitude = doubleAt(request, index + 1);
  if (Math.abs(longitude) > LONGITUDE_MAX || Math.abs(latitude) > LATITUDE_MAX)
    throw new CommandError(`ERR invalid longitude,latitude pair ${longitude.toFixed(6)},${latitude.toFixed(6)}`);
  return { longitude, latitude };
}

const METERS: ReadonlyMap<string, number> = new Map([
  ["m", 1],
  ["km", 1000],
  ["ft", 0.3048],
  ["mi", 1609.34],
]);

/** Meters of a unit. */
export function metersAt(request: Request, index: number): number {
  const meters = METERS.get(request.word(index));
  if (meters === undefined) throw new CommandError("ERR unsupported unit provided. please use M, KM, FT, MI");
  return meters;
}

export const positionOf = (set: SortedSet | undefined, member: string): Position | undefined => {
  const score = set?.scoreOf(member);
  return score === undefined ? undefined : positionOfScore(score);
};

const geopos: Command = {
  name: "geopos",
  arity: -2,
  flags: ["readonly"],
  group: "geo",
  summary: "The positions of members.",
  since: "3.2.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { reply } = client;
    const set = client.readValue<SortedSet>(request, 1, ZSET);
    reply.array(request.count - 2);
    for (let i = 2; i < request.count; i++) {
      const position = positionOf(set, request.text(i));
      if (position === undefined) reply.nullArray();
      else replyPosition(client, position);
    }
  },
};

export function replyPosition({ reply }: Client, { longitude, latitude }: Position): void {
  reply.array(2);
  for (const degrees of [longitude, latitude]) {
    if (reply.protocol === 3) reply.double(degrees);
    else reply.bulk(degrees.toFixed(17).replace(/\.?0+$/, ""));
  }
}

const geodist: Command = {
  name: "geodist",
  arity: -4,
  flags: ["readonly"],
  group: "geo",
  summary: "How far two members are from each other.",
  since: "3.2.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    if (request.count > 5) throw syntaxError();
    const unit = request.count === 5 ? metersAt(request, 4) : 1;
    const set = client.readValue<SortedSet>(request, 1, ZSET);
    const a = positionOf(set, request.text(2));
    const b = positionOf(set, request.text(3));
    if (a === undefined || b === undefined) client.reply.null();
    else replyDistance(client, distanceMeters(a, b) / unit);
  },
};

export const replyDistance = ({ reply }: Client, distance: number): void => reply.bulk(distance.toFixed(4));

const geohash: Command = {
  name: "geohash",
  arity: -2,
  flags: ["readonly"],
  group: "geo",
  summary: "The positions of members as geohashes.",
  since: "3.2.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const set = client.readValue<SortedSet>(request, 1, ZSET);
    client.reply.array(request.count - 2);
    for (let i = 2; i < request.count; i++) {
      const position = positionOf(set, request.text(i));
      client.reply.bulkOrNull(position && geohashOf(position));
    }
  },
};

export const GEO_COMMANDS: readonly Command[] = [geoadd, geodist, geohash, geopos];
