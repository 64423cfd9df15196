import type { Address } from "../../keyspace/arena.ts";
import type { Database } from "../../keyspace/database.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { Crc64 } from "./crc64.ts";
import { RdbError } from "./rdb-error.ts";
import { readValue, type ReadValue, type ValueLimits } from "./read-value.ts";
import { VERSION_DUMP_MAX, VERSION_WRITTEN } from "./rdb-types.ts";
import { typeOf, writeValue } from "./write-value.ts";

/** Version and checksum at the end. */
const FOOTER_BYTES = 10;

/** What `DUMP` answers: type, value, version, checksum. */
export function dumpOf(db: Database, address: Address, compresses: boolean): Buffer {
  const writer = new ByteWriter(compresses);
  writer.byte(typeOf(db, address));
  writeValue(writer, db, address);
  writer.byte(VERSION_WRITTEN);
  writer.byte(0);
  const { length } = writer;
  writer.int64(0);
  const dump = writer.take();
  new Crc64().update(dump, 0, length).writeTo(dump, length);
  return dump;
}

/** Whether a payload has a version that can be read, and its checksum. */
export function isDump(payload: Buffer, skipsChecksum: boolean): boolean {
  const end = payload.length - FOOTER_BYTES;
  if (end < 0 || payload.readUInt16LE(end) > VERSION_DUMP_MAX) return false;
  return skipsChecksum || new Crc64().update(payload, 0, end + 2).equals(payload, end + 2);
}

/** The value of a payload for which `isDump` holds. Throws `RdbError`. */
export function readDump(payload: Buffer, limits: ValueLimits): ReadValue {
  const reader = new ByteReader(payload, 0, payload.length - FOOTER_BYTES);
  const type = reader.byte();
  const value = readValue(reader, type, limits);
  if (reader.left > 0) throw new RdbError("bytes behind the value");
  return value;
}
