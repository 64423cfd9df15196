import { AnaxError } from "../../../base/errors.ts";
import { diskErrorOf } from "../../../disk/disk-error.ts";

/** SQLite's primary result codes. */
const BUSY = [5, 6];
const DAMAGED = [11, 26];
const FULL = 13;
const CANNOT_OPEN = 14;

/** What SQLite threw, as an AnaxError; what is none of its errors, as it is. */
export function failureOf(thrown: unknown, path: string): unknown {
  if (thrown instanceof AnaxError) return thrown;
  const code = (thrown as { errcode?: unknown }).errcode;
  if (typeof code !== "number") return thrown;
  const details = { path, reason: (thrown as Error).message };
  const primary = code & 0xff;
  if (BUSY.includes(primary) || primary === CANNOT_OPEN) return new AnaxError("volume.unreachable", details, { cause: thrown });
  if (primary === FULL) return new AnaxError("disk.full", details, { cause: thrown });
  if (DAMAGED.includes(primary)) return new AnaxError("disk.corrupt", details, { cause: thrown });
  return diskErrorOf(thrown, details);
}
