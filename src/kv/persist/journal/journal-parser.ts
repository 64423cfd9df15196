import { Request, ARGUMENTS_MAX } from "../../../wire/resp/request.ts";

const CR = 13;
const LF = 10;
const STAR = 42;
const DOLLAR = 36;
const HASH = 35;
const LINE_BYTES_MAX = 64;
const ANNOTATION_BYTES_MAX = 1024;
const BULK_BYTES_MAX = 512 * 1024 * 1024;

/** `more`: the bytes end within it. `bad`: it is no command. */
export type Parsed = { readonly request: Request | undefined; readonly end: number } | "more" | "bad";

/** The command at that place of a journal; an annotation, which begins with `#`, is none. */
export function commandAt(bytes: Buffer, from: number): Parsed {
  if (from >= bytes.length) return "more";
  if (bytes[from] === HASH) {
    const end = bytes.indexOf(LF, from);
    if (end < 0) return bytes.length - from > ANNOTATION_BYTES_MAX ? "bad" : "more";
    return { request: undefined, end: end + 1 };
  }
  const head = numberLine(bytes, from, STAR);
  if (typeof head === "string") return head;
  if (head.value < 1 || head.value > ARGUMENTS_MAX) return "bad";
  const request = new Request();
  request.bytes = bytes;
  let at = head.end;
  for (let i = 0; i < head.value; i++) {
    const bulk = numberLine(bytes, at, DOLLAR);
    if (typeof bulk === "string") return bulk;
    if (bulk.value > BULK_BYTES_MAX) return "bad";
    const end = bulk.end + bulk.value;
    if (end + 2 > bytes.length) return "more";
    if (bytes[end] !== CR || bytes[end + 1] !== LF) return "bad";
    request.add(bulk.end, bulk.value);
    at = end + 2;
  }
  return { request, end: at };
}

function numberLine(bytes: Buffer, from: number, first: number): { readonly value: number; readonly end: number } | "more" | "bad" {
  if (from >= bytes.length) return "more";
  if (bytes[from] !== first) return "bad";
  let value = 0;
  for (let at = from + 1; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === CR) {
      if (at === from + 1) return "bad";
      if (at + 1 === bytes.length) return "more";
      return bytes[at + 1] === LF ? { value, end: at + 2 } : "bad";
    }
    if (byte < 48 || byte > 57 || at - from > LINE_BYTES_MAX) return "bad";
    value = value * 10 + byte - 48;
  }
  return "more";
}
