import type { Value } from "../../keyspace/value.ts";
import { doubleOf } from "../../numbers.ts";
import { HashValue } from "../../types/hash-value.ts";
import { List } from "../../types/list.ts";
import { SetValue } from "../../types/set-value.ts";
import { SortedSet } from "../../types/sorted-set.ts";
import type { ParameterValues } from "../../parameters/parameters.ts";
import type { ByteReader } from "./byte-reader.ts";
import { listpackTexts } from "./listpack.ts";
import { intsetTexts, ziplistTexts, zipmapTexts } from "./old-packs.ts";
import { RdbError } from "./rdb-error.ts";
import { RDB } from "./rdb-types.ts";
import { readStream } from "./read-stream.ts";
import { skipForeign } from "./skip-value.ts";

/** What bounds the small forms of values. */
export type ValueLimits = Pick<
  ParameterValues,
  | "hash-max-listpack-entries"
  | "hash-max-listpack-value"
  | "set-max-intset-entries"
  | "zset-max-listpack-entries"
  | "zset-max-listpack-value"
  | "stream-node-max-entries"
  | "stream-node-max-bytes"
>;

/** A string is valid as long as the bytes that it was read from. `skipped`: of a kind that this server has not; which. */
export type ReadValue = { readonly string: Buffer } | { readonly value: Value } | { readonly skipped: string };

/** A value in the encoding of that number. Throws `RdbError`: whatever the bytes are, what is read is whole and nothing twice in it. */
export function readValue(reader: ByteReader, type: number, limits: ValueLimits): ReadValue {
  switch (type) {
    case RDB.STRING:
      return { string: reader.string() };
    case RDB.LIST:
      return listOf(textsIn(reader));
    case RDB.LIST_ZIPLIST:
      return listOf(ziplistTexts(reader.string()));
    case RDB.LIST_QUICKLIST:
    case RDB.LIST_QUICKLIST_2:
      return listOf(quicklist(reader, type === RDB.LIST_QUICKLIST_2));
    case RDB.SET:
      return setOf(textsIn(reader), limits);
    case RDB.SET_INTSET:
      return setOf(intsetTexts(reader.string()), limits);
    case RDB.SET_LISTPACK:
      return setOf(listpackTexts(reader.string()), limits);
    case RDB.HASH:
      return hashOf(textsIn(reader, 2), limits);
    case RDB.HASH_ZIPMAP:
      return hashOf(zipmapTexts(reader.string()), limits);
    case RDB.HASH_ZIPLIST:
      return hashOf(ziplistTexts(reader.string()), limits);
    case RDB.HASH_LISTPACK:
      return hashOf(listpackTexts(reader.string()), limits);
    case RDB.ZSET:
    case RDB.ZSET_2:
      return sortedSetOf(scored(reader, type === RDB.ZSET_2), limits);
    case RDB.ZSET_ZIPLIST:
      return sortedSetOf(scoredTexts(ziplistTexts(reader.string())), limits);
    case RDB.ZSET_LISTPACK:
      return sortedSetOf(scoredTexts(listpackTexts(reader.string())), limits);
    case RDB.STREAM_LISTPACKS:
    case RDB.STREAM_LISTPACKS_2:
    case RDB.STREAM_LISTPACKS_3:
      return { value: readStream(reader, type, limits) };
    default:
      return { skipped: skipForeign(reader, type) };
  }
}

/** So many strings as a length says, or that times `each`. */
function textsIn(reader: ByteReader, each = 1): string[] {
  const count = reader.count() * each;
  const texts: string[] = [];
  for (let i = 0; i < count; i++) texts.push(reader.text());
  return texts;
}

function quicklist(reader: ByteReader, second: boolean): string[] {
  const texts: string[] = [];
  for (let nodes = reader.count(); nodes > 0; nodes--) {
    const container = second ? reader.count() : 0;
    if (container === 1) texts.push(reader.text());
    else if (second && container !== 2) throw new RdbError("unknown kind of a list's node");
    else for (const text of second ? listpackTexts(reader.string()) : ziplistTexts(reader.string())) texts.push(text);
  }
  return texts;
}

function listOf(texts: readonly string[]): ReadValue {
  const list = new List();
  for (const text of texts) list.push("right", text);
  return { value: notEmpty(list) };
}

function setOf(texts: readonly string[], limits: ValueLimits): ReadValue {
  const set = new SetValue();
  for (const text of texts) if (!set.add(text, limits["set-max-intset-entries"])) throw new RdbError("a member twice in a set");
  return { value: notEmpty(set) };
}

function hashOf(texts: readonly string[], limits: ValueLimits): ReadValue {
  if (texts.length % 2 !== 0) throw new RdbError("a field without a value");
  const hash = new HashValue();
  for (let i = 0; i < texts.length; i += 2) if (!hash.set(texts[i]!, texts[i + 1]!, limits)) throw new RdbError("a field twice in a hash");
  return { value: notEmpty(hash) };
}

interface Scored {
  readonly member: string;
  readonly score: number;
}

function sortedSetOf(members: readonly Scored[], limits: ValueLimits): ReadValue {
  const set = new SortedSet();
  for (const { member, score } of members) {
    if (Number.isNaN(score)) throw new RdbError("a score that is no number");
    if (set.scoreOf(member) !== undefined) throw new RdbError("a member twice in a sorted set");
    set.set(member, score, limits);
  }
  return { value: notEmpty(set) };
}

function scored(reader: ByteReader, binary: boolean): Scored[] {
  const members: Scored[] = [];
  for (let left = reader.count(); left > 0; left--)
    members.push({ member: reader.text(), score: binary ? reader.double() : oldDouble(reader) });
  return members;
}

function scoredTexts(texts: readonly string[]): Scored[] {
  if (texts.length % 2 !== 0) throw new RdbError("a member without a score");
  const members: Scored[] = [];
  for (let i = 0; i < texts.length; i += 2) members.push({ member: texts[i]!, score: doubleOf(texts[i + 1]!) ?? Number.NaN });
  return members;
}

/** As text behind one byte for its length, three of which mean something else. */
function oldDouble(reader: ByteReader): number {
  const length = reader.byte();
  if (length === 255) return -Infinity;
  if (length === 254) return Infinity;
  return length === 253 ? Number.NaN : (doubleOf(reader.rawText(length)) ?? Number.NaN);
}

function notEmpty<V extends Value>(value: V): V {
  if (value.size === 0) throw new RdbError("a key with nothing in it");
  return value;
}
