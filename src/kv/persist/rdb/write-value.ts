import type { Address } from "../../keyspace/arena.ts";
import type { Database } from "../../keyspace/database.ts";
import { HASH_TYPE, LIST, SET, STREAM, STRING, ZSET, type Value } from "../../keyspace/value.ts";
import type { HashValue } from "../../types/hash-value.ts";
import type { List } from "../../types/list.ts";
import type { SetValue } from "../../types/set-value.ts";
import type { SortedSet } from "../../types/sorted-set.ts";
import type { StreamValue } from "../../types/stream.ts";
import { formatDouble } from "../../../wire/resp/reply-writer.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { ListpackWriter } from "./listpack.ts";
import { intsetOf } from "./old-packs.ts";
import { RDB } from "./rdb-types.ts";
import { writeStream } from "./write-stream.ts";

/** A listpack of a list is ended beyond this: Redis' default. */
const LIST_NODE_BYTES_MAX = 8 * 1024;
/** An element that is larger stands for itself. */
const PLAIN_BYTES_MIN = 1024 * 1024;
const PLAIN = 1;
const PACKED = 2;
/** Numbers up to here have no point when they are whole. */
const WHOLE_MAX = 2 ** 53;

/** The number of the encoding in which `writeValue` writes a record's value. */
export function typeOf(db: Database, address: Address): number {
  const value = db.objectOf(address);
  switch (db.typeOf(address)) {
    case STRING:
      return RDB.STRING;
    case LIST:
      return RDB.LIST_QUICKLIST_2;
    case SET:
      return value!.encoding === "intset" ? RDB.SET_INTSET : RDB.SET;
    case ZSET:
      return value!.encoding === "listpack" ? RDB.ZSET_LISTPACK : RDB.ZSET_2;
    case HASH_TYPE:
      return value!.encoding === "listpack" ? RDB.HASH_LISTPACK : RDB.HASH;
    default:
      return RDB.STREAM_LISTPACKS_2;
  }
}

export function writeValue(writer: ByteWriter, db: Database, address: Address): void {
  const value = db.objectOf(address);
  if (value === undefined || value.type === STRING) writer.string(db.stringOf(address));
  else writeObject(writer, value);
}

function writeObject(writer: ByteWriter, value: Value): void {
  switch (value.type) {
    case LIST:
      return writeList(writer, value as List);
    case SET:
      return writeSet(writer, value as SetValue);
    case ZSET:
      return writeSortedSet(writer, value as SortedSet);
    case HASH_TYPE:
      return writeHash(writer, value as HashValue);
    case STREAM:
      return writeStream(writer, value as StreamValue);
    default:
      throw new Error(`no encoding for type ${value.type}`);
  }
}

function writeList(writer: ByteWriter, list: List): void {
  const nodes: { readonly plain: boolean; readonly bytes: Buffer }[] = [];
  const pack = new ListpackWriter();
  const endPack = (): void => {
    if (pack.count > 0) nodes.push({ plain: false, bytes: Buffer.from(pack.finish()) });
  };
  list.each(0, list.size, (element) => {
    if (element.length >= PLAIN_BYTES_MIN) {
      endPack();
      nodes.push({ plain: true, bytes: Buffer.from(element, "latin1") });
      return;
    }
    if (pack.count > 0 && pack.bytes + element.length > LIST_NODE_BYTES_MAX) endPack();
    pack.text(element);
  });
  endPack();
  writer.count(nodes.length);
  for (const { plain, bytes } of nodes) {
    writer.count(plain ? PLAIN : PACKED);
    writer.blob(bytes);
  }
}

function writeSet(writer: ByteWriter, set: SetValue): void {
  if (set.encoding === "intset") return writer.blob(intsetOf([...set.parts()]));
  writer.count(set.size);
  for (let position = 0; position < set.size; position++) writer.text(set.at(position));
}

function writeSortedSet(writer: ByteWriter, set: SortedSet): void {
  if (set.encoding === "listpack") {
    const pack = new ListpackWriter();
    set.each((member, score) => {
      pack.text(member);
      if (Number.isInteger(score) && Math.abs(score) < WHOLE_MAX && !Object.is(score, -0)) pack.integer(score);
      else pack.text(formatDouble(score));
    });
    return writer.blob(pack.finish());
  }
  writer.count(set.size);
  set.each((member, score) => {
    writer.text(member);
    writer.double(score);
  });
}

function writeHash(writer: ByteWriter, hash: HashValue): void {
  if (hash.encoding === "listpack") {
    const pack = new ListpackWriter();
    for (let position = 0; position < hash.size; position++) {
      pack.text(hash.fieldAt(position));
      pack.text(hash.valueAt(position));
    }
    return writer.blob(pack.finish());
  }
  writer.count(hash.size);
  for (let position = 0; position < hash.size; position++) {
    writer.text(hash.fieldAt(position));
    writer.text(hash.valueAt(position));
  }
}
