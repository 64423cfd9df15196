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

/** Reads one command whose bytes may come in parts: it goes on where it was, so that a large one is read once. Its request is valid until the next one is read. */
export class CommandReader {
  readonly #request = new Request();
  #at: number;
  /** Arguments that are still to come; undefined: how many is not known yet. */
  #left: number | undefined;

  constructor(from = 0) {
    this.#at = from;
  }

  /** Reads the command at that place next. */
  restart(from: number): this {
    this.#at = from;
    this.#left = undefined;
    this.#request.count = 0;
    this.#request.hashed = 0;
    return this;
  }

  /** `bytes`: those of before, at the same place, and more. An annotation, which begins with `#`, is no command. */
  read(bytes: Buffer): Parsed {
    const request = this.#request;
    request.bytes = bytes;
    if (this.#left === undefined) {
      if (bytes[this.#at] === HASH) return annotation(bytes, this.#at);
      const head = numberLine(bytes, this.#at, STAR);
      if (typeof head === "string") return head;
      if (head.value < 1 || head.value > ARGUMENTS_MAX) return "bad";
      this.#left = head.value;
      this.#at = head.end;
    }
    for (; this.#left > 0; this.#left--) {
      const bulk = numberLine(bytes, this.#at, DOLLAR);
      if (typeof bulk === "string") return bulk;
      if (bulk.value > BULK_BYTES_MAX) return "bad";
      const end = bulk.end + bulk.value;
      if (end + 2 > bytes.length) return "more";
      if (bytes[end] !== CR || bytes[end + 1] !== LF) return "bad";
      request.add(bulk.end, bulk.value);
      this.#at = end + 2;
    }
    return { request, end: this.#at };
  }
}

/** The command at that place of a journal. */
export const commandAt = (bytes: Buffer, from: number): Parsed => new CommandReader(from).read(bytes);

function annotation(bytes: Buffer, from: number): Parsed {
  const end = bytes.indexOf(LF, from);
  if (end < 0) return bytes.length - from > ANNOTATION_BYTES_MAX ? "bad" : "more";
  return { request: undefined, end: end + 1 };
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
