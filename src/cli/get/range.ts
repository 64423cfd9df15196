import { AnaxError } from "../../base/errors.ts";

/**
 * Bytes of a file as a person writes them, "first-last" with both included, "first-" to the end. A suffix ("-512") needs the
 * length, which the wire's range cannot say, and is refused with the way out. Throws `input.invalid`.
 */
export function parseByteRange(text: string): { readonly start: number; readonly length: number } {
  const match = /^(?:bytes=)?(\d{1,15})-(\d{0,15})$/.exec(text.trim());
  const first = Number(match?.[1]);
  const last = match?.[2] === "" ? undefined : Number(match?.[2]);
  if (match === null || (last !== undefined && last < first))
    throw new AnaxError("input.invalid", { range: text, expected: "first-last or first-" });
  return { start: first, length: last === undefined ? OPEN_END : last - first + 1 };
}

/** "To the end": longer than any content; the daemon cuts it to what there is. */
export const OPEN_END = Number.MAX_SAFE_INTEGER;
