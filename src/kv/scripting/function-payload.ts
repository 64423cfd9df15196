import { CommandError } from "../command-error.ts";
import { ByteReader } from "../persist/rdb/byte-reader.ts";
import { ByteWriter } from "../persist/rdb/byte-writer.ts";
import { Crc64 } from "../persist/rdb/crc64.ts";
import { RdbError } from "../persist/rdb/rdb-error.ts";
import { OPCODE, VERSION_DUMP_MAX, VERSION_WRITTEN } from "../persist/rdb/rdb-types.ts";

const CHECKSUM_BYTES = 8;
/** Version and checksum. */
const FOOTER_BYTES = 2 + CHECKSUM_BYTES;

/** What FUNCTION DUMP answers: the texts of libraries as they lie in an RDB, then its version and checksum, as of DUMP. */
export function dumpFunctions(codes: readonly string[]): Buffer {
  const writer = new ByteWriter(true);
  for (const code of codes) {
    writer.byte(OPCODE.FUNCTION);
    writer.text(code);
  }
  writer.byte(VERSION_WRITTEN);
  writer.byte(0);
  const { length } = writer;
  writer.raw(Buffer.alloc(CHECKSUM_BYTES));
  const payload = writer.take();
  new Crc64().update(payload, 0, length).writeTo(payload, length);
  return payload;
}

/** The texts of libraries in a payload. Throws a `CommandError`. */
export function restoredFunctions(payload: Buffer): string[] {
  const end = payload.length - FOOTER_BYTES;
  const isWhole =
    end >= 0 && payload.readUInt16LE(end) <= VERSION_DUMP_MAX && new Crc64().update(payload, 0, end + 2).equals(payload, end + 2);
  if (!isWhole) throw new CommandError("ERR DUMP payload version or checksum are wrong");
  const reader = new ByteReader(payload, 0, end);
  const codes: string[] = [];
  while (reader.left > 0) {
    if (reader.byte() !== OPCODE.FUNCTION) throw new CommandError("ERR given type is not a function");
    codes.push(textOf(reader));
  }
  return codes;
}

function textOf(reader: ByteReader): string {
  try {
    return reader.text();
  } catch (thrown) {
    if (!(thrown instanceof RdbError)) throw thrown;
    throw new CommandError("ERR failed loading the given functions payload");
  }
}
