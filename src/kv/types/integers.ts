import { int64Of } from "../numbers.ts";

/** Digits of which every number is exact as a double. */
const SAFE_DIGITS = 15;

/** An integer in its only form, of at most 15 digits; NaN for any other text. */
export function safeIntegerOf(text: string): number {
  const { length } = text;
  const negative = text.charCodeAt(0) === 45;
  const first = negative ? 1 : 0;
  const digits = length - first;
  if (digits < 1 || digits > SAFE_DIGITS) return Number.NaN;
  let value = text.charCodeAt(first) - 48;
  if (value < 0 || value > 9 || (value === 0 && (digits > 1 || negative))) return Number.NaN;
  for (let at = first + 1; at < length; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}

/** Any 64-bit integer: a number up to 15 digits, a bigint beyond. */
export function integerOf(text: string): number | bigint | undefined {
  const safe = safeIntegerOf(text);
  if (!Number.isNaN(safe)) return safe;
  return text.length > SAFE_DIGITS ? int64Of(text) : undefined;
}
