/** A run of bytes: `start` counts from 0, `length` is at least 1. */
export interface ByteRange {
  readonly start: number;
  readonly length: number;
}

/** What one `Range` header asks for, before the size of the content is known; `last` is inclusive. */
export type RangeSpec = { readonly first: number; readonly last: number | undefined } | { readonly suffixLength: number };

/** A `Content-Range` header: the bytes that follow, or (416) only the size of the content. */
export type ContentRange =
  | { readonly kind: "range"; readonly range: ByteRange; readonly totalBytes: number | undefined }
  | { readonly kind: "unsatisfied"; readonly totalBytes: number };

/**
 * The single range of a `Range` header (RFC 9110 §14.2), or null when the header is to be ignored and the whole content sent:
 * no header, another unit, a syntax error, or several ranges, which a server may decline.
 */
export function rangeSpecOf(header: string | undefined): RangeSpec | null {
  const list = /^bytes=(.*)$/i.exec(header?.trim() ?? "")?.[1];
  const [only, ...others] = (list ?? "").split(",").flatMap((part) => part.trim() || []); // a list may have empty elements
  const match = others.length > 0 ? null : /^(\d*)-(\d*)$/.exec(only ?? "");
  if (match === null) return null;
  const [, first = "", last = ""] = match;
  if (first === "") return last === "" ? null : { suffixLength: Number(last) };
  if (last !== "" && Number(last) < Number(first)) return null;
  return { first: Number(first), last: last === "" ? undefined : Number(last) };
}

/** The bytes that a spec selects of content with `totalBytes`; null: the whole of it, since nothing can be named in empty content. */
export function resolveRange(spec: RangeSpec, totalBytes: number): ByteRange | null | "unsatisfiable" {
  if ("suffixLength" in spec) {
    if (spec.suffixLength === 0) return "unsatisfiable";
    if (totalBytes === 0) return null;
    const length = Math.min(spec.suffixLength, totalBytes);
    return { start: totalBytes - length, length };
  }
  if (spec.first >= totalBytes) return "unsatisfiable";
  const last = Math.min(spec.last ?? totalBytes - 1, totalBytes - 1);
  return { start: spec.first, length: last - spec.first + 1 };
}

/** Both steps at once: the range to send with 206, null to send everything with 200, `unsatisfiable` for a 416. */
export function rangeOf(header: string | undefined, totalBytes: number): ByteRange | null | "unsatisfiable" {
  const spec = rangeSpecOf(header);
  return spec === null ? null : resolveRange(spec, totalBytes);
}

/** Reads `bytes 0-99/200`, `bytes 0-99/*` and `bytes *\/200`; undefined when it is none of them or contradicts itself. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const match = /^bytes\s+(?:(\d+)-(\d+)|\*)\/(\d+|\*)$/i.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const [first, last] = [Number(match[1]), Number(match[2])];
  const totalBytes = match[3] === "*" ? undefined : Number(match[3]);
  if (![first, last, totalBytes].every((number) => Number.isNaN(number) || (number ?? 0) <= Number.MAX_SAFE_INTEGER)) return undefined;
  if (match[1] === undefined) return totalBytes === undefined ? undefined : { kind: "unsatisfied", totalBytes };
  if (last < first || last >= (totalBytes ?? Infinity)) return undefined;
  return { kind: "range", range: { start: first, length: last - first + 1 }, totalBytes };
}

/** `bytes=0-99`, as a request sends it. */
export const formatRange = (range: ByteRange): string => `bytes=${range.start}-${range.start + range.length - 1}`;

/** The `Content-Range` of a 206, or of a 416 when there is no range. */
export function formatContentRange(range: ByteRange | undefined, totalBytes: number | undefined): string {
  const bytes = range === undefined ? "*" : `${range.start}-${range.start + range.length - 1}`;
  return `bytes ${bytes}/${totalBytes ?? "*"}`;
}
