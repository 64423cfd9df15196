import type { Request } from "../wire/resp/request.ts";
import { CommandError, notAFloat, notAnInteger } from "./command-error.ts";

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const CANONICAL = /^(?:0|-?[1-9][0-9]{0,18})$/;
/** Digits of which every number is exact as a double. */
const SAFE_DIGITS = 15;

/** A 64-bit integer in its only form: no sign but `-`, no leading zero, no space. Undefined for anything else. */
export function int64Of(text: string): bigint | undefined {
  if (!CANONICAL.test(text)) return undefined;
  const value = BigInt(text);
  return value < INT64_MIN || value > INT64_MAX ? undefined : value;
}

/** The largest double that 64 bits hold: the one nearest to their largest number is above it. */
export const INT64_DOUBLE_MAX = 2 ** 63 - 1024;

export const fitsInt64 = (value: bigint): boolean => value >= INT64_MIN && value <= INT64_MAX;

/**
 * The same from bytes, as a number where every digit of it is exact; NaN where it is no integer, or needs `int64Of`. For the hot path: it makes
 * nothing.
 */
export function safeIntegerIn(bytes: Uint8Array, from: number, length: number): number {
  const negative = bytes[from] === 45;
  const first = negative ? from + 1 : from;
  const end = from + length;
  const digits = end - first;
  if (digits < 1 || digits > SAFE_DIGITS) return Number.NaN;
  let value = bytes[first]! - 48;
  if (value < 0 || value > 9 || (value === 0 && (digits > 1 || negative))) return Number.NaN;
  for (let at = first + 1; at < end; at++) {
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}

/** The number that nothing but digits are, zeros or a minus before them too; NaN where there are other characters, or too many. For the hot path: it makes nothing. */
export function digitsIn(bytes: Uint8Array, from: number, length: number): number {
  const negative = bytes[from] === 45;
  const first = negative ? from + 1 : from;
  const end = from + length;
  if (end - first < 1 || end - first > SAFE_DIGITS) return Number.NaN;
  let value = 0;
  for (let at = first; at < end; at++) {
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}

/** An argument as a 64-bit integer. Throws `ERR value is not an integer or out of range`, or the error given. */
export function int64At(request: Request, index: number, error?: string): bigint {
  const value = int64Of(request.text(index));
  if (value === undefined) throw error === undefined ? notAnInteger() : new CommandError(error);
  return value;
}

/** An argument as an integer that a double holds, between the bounds; beyond 2^53 it is the nearest double that 64 bits hold. Throws as `int64At`. */
export function integerAt(
  request: Request,
  index: number,
  bounds: { readonly min?: number; readonly max?: number; readonly error?: string } = {},
): number {
  const quick = safeIntegerIn(request.bytes, request.offsets[index]!, request.lengths[index]!);
  const value = Number.isNaN(quick) ? Math.min(Number(int64At(request, index, bounds.error)), INT64_DOUBLE_MAX) : quick;
  if (value < (bounds.min ?? -Infinity) || value > (bounds.max ?? Infinity))
    throw bounds.error === undefined ? notAnInteger() : new CommandError(bounds.error);
  return value;
}

/** As Redis takes them: the largest double has 309 digits before its point. */
const NUMBER_CHARS_MAX = 5 * 1024 - 1;
const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const HEXADECIMAL = /^([+-]?)0[xX]([0-9a-fA-F]+)$/;

/** A double as C's `strtod` reads it, the whole text and not `nan`; undefined for anything else. */
export function doubleOf(text: string): number | undefined {
  if (text.length > NUMBER_CHARS_MAX) return undefined;
  if (DECIMAL.test(text)) {
    const value = Number(text);
    return Number.isFinite(value) ? value : undefined;
  }
  const infinite = /^([+-]?)inf(?:inity)?$/i.exec(text);
  if (infinite !== null) return infinite[1] === "-" ? -Infinity : Infinity;
  const hexadecimal = HEXADECIMAL.exec(text);
  if (hexadecimal !== null) return (hexadecimal[1] === "-" ? -1 : 1) * Number.parseInt(hexadecimal[2]!, 16);
  return undefined;
}

/** An argument as a double. Throws `ERR value is not a valid float`, or the error given. */
export function doubleAt(request: Request, index: number, error?: string): number {
  const value = doubleOf(request.text(index));
  if (value === undefined) throw error === undefined ? notAFloat() : new CommandError(error);
  return value;
}
