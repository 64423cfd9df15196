import { AnaxError } from "../../base/errors.ts";

/** Part of a file: from a place on, or its last bytes. */
export type PartOfFile = { readonly start: number; readonly length: number } | { readonly lastBytes: number };

/** As a person writes it: "first-last" with both included, "first-" to the end, "-count" for the last ones. Throws `input.invalid`. */
export function parseByteRange(text: string): PartOfFile {
  const match = /^(?:bytes=)?(\d{0,15})-(\d{0,15})$/.exec(text.trim());
  const [, first = "", last = ""] = match ?? [];
  const length = last === "" ? OPEN_END : Number(last) - Number(first) + 1;
  if (first !== "" && length > 0) return { start: Number(first), length };
  if (first === "" && Number(last) > 0) return { lastBytes: Number(last) };
  throw new AnaxError("input.invalid", { range: text, expected: "first-last, first- or -count" });
}

/** "To the end": longer than any content; the daemon cuts it to what there is. */
export const OPEN_END = Number.MAX_SAFE_INTEGER;
