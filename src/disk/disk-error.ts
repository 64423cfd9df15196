import { AnaxError, systemCodeOf, type ErrorCode, type ErrorDetails } from "../base/errors.ts";

const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);
const UNWRITABLE: ReadonlySet<string> = new Set([
  "EACCES",
  "EPERM",
  "EROFS",
  "ENOENT",
  "ENOTDIR",
  "EISDIR",
  "ELOOP",
  "ENAMETOOLONG",
  "ETXTBSY",
]);

/** A failed file operation of ours as `disk.full` or `disk.io`; the system's own code stays in the details. */
export function diskErrorOf(thrown: unknown, details: ErrorDetails = {}): AnaxError {
  return classify(thrown, details, "disk.io");
}

/** A failed operation at a path that a person chose: also `output.unwritable`. */
export function outputErrorOf(thrown: unknown, details: ErrorDetails = {}): AnaxError {
  const system = systemCodeOf(thrown);
  return classify(thrown, details, system !== undefined && UNWRITABLE.has(system) ? "output.unwritable" : "disk.io");
}

function classify(thrown: unknown, details: ErrorDetails, otherwise: ErrorCode): AnaxError {
  if (thrown instanceof AnaxError) return thrown;
  const system = systemCodeOf(thrown);
  const reason = system ?? (thrown instanceof Error ? thrown.message : String(thrown));
  return new AnaxError(system !== undefined && FULL.has(system) ? "disk.full" : otherwise, { ...details, reason }, { cause: thrown });
}
