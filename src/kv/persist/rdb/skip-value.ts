import type { ByteReader } from "./byte-reader.ts";
import { RdbError } from "./rdb-error.ts";
import { RDB } from "./rdb-types.ts";

const MODULE_EOF = 0;
/** The letters of a module's type, 6 bits each, above 10 bits for its version. */
const NAME_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Passes over a value that this server has no type for; what it is. Throws `RdbError` where it cannot be told where it ends. */
export function skipForeign(reader: ByteReader, type: number): string {
  switch (type) {
    case RDB.MODULE_2:
      return `a value of the module type ${skipModule(reader)}`;
    case RDB.HASH_EXPIRING:
      reader.take(8);
      for (let fields = reader.count(); fields > 0; fields--) {
        reader.bigCount();
        reader.string();
        reader.string();
      }
      return "a hash whose fields expire";
    case RDB.HASH_LISTPACK_EXPIRING:
      reader.take(8);
      reader.string();
      return "a hash whose fields expire";
    default:
      throw new RdbError(`unknown type of a value: ${type}`);
  }
}

/** Passes over what a module has written; the module's name for it. */
export function skipModule(reader: ByteReader): string {
  const id = reader.bigCount();
  let name = "";
  for (let shift = 58n; shift >= 10n; shift -= 6n) name += NAME_CHARS[Number((id >> shift) & 63n)];
  skipModuleData(reader);
  return name;
}

function skipModuleData(reader: ByteReader): void {
  for (;;) {
    const kind = reader.count();
    switch (kind) {
      case MODULE_EOF:
        return;
      case 1:
      case 2:
        reader.bigCount();
        break;
      case 3:
        reader.take(4);
        break;
      case 4:
        reader.take(8);
        break;
      case 5:
        reader.string();
        break;
      default:
        throw new RdbError("unknown part of a module's value");
    }
  }
}
