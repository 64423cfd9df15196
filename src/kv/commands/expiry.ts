import type { Request } from "../../wire/resp/request.ts";
import { CommandError } from "../command-error.ts";
import { INT64_DOUBLE_MAX, int64At } from "../numbers.ts";

/** What the number means: from now on, or since 1970. */
export type ExpiryUnit = "s" | "ms" | "at-s" | "at-ms";

const INT64_MAX = 2n ** 63n - 1n;

/** When a key expires, Unix milliseconds. Throws `ERR invalid expire time in '…' command` for what is not above 0 or too large. */
export function expiryAt(request: Request, index: number, unit: ExpiryUnit, nowMs: number, command: string): number {
  const value = int64At(request, index);
  if (value <= 0n) throw invalid(command);
  return absoluteMs(value, unit, nowMs, command);
}

/** The same where a time that is past is allowed: then the key goes at once. */
export function absoluteMs(value: bigint, unit: ExpiryUnit, nowMs: number, command: string): number {
  const ms = unit === "s" || unit === "at-s" ? value * 1000n : value;
  const at = unit === "s" || unit === "ms" ? ms + BigInt(nowMs) : ms;
  if (ms > INT64_MAX || ms < -INT64_MAX || at > INT64_MAX) throw invalid(command);
  return Math.min(Number(at), INT64_DOUBLE_MAX);
}

const invalid = (command: string): CommandError => new CommandError(`ERR invalid expire time in '${command}' command`);
