import { writeLatin1 } from "../../base/latin1.ts";
const CR = 13;
const LF = 10;
const ZERO = 48;
const FIRST_BYTES = 16 * 1024;
/** What is left to one who writes little. */
const LEAST_BYTES = 1024;
const EMPTY = Buffer.alloc(0);
/** A buffer beyond this is not kept for the next replies. */
const KEPT_BYTES_MAX = 256 * 1024;
/** Up to here a loop is quicker than the call that writes text, … */
const LOOP_BYTES_MAX = 48;
/** … or the one that copies bytes. */
const LOOP_COPY_BYTES_MAX = 20;

const INT32_MAX = 0x7fff_ffff;
const INT32_DIGITS = 10;

export type Protocol = 2 | 3;

/**
 * Replies as bytes, one after the other, until they are taken. In RESP2 the types of RESP3 become what Redis makes of them: a map becomes a flat array, a
 * double a bulk string, null a null bulk string (https://redis.io/docs/latest/develop/reference/protocol-spec/).
 */
export class ReplyWriter {
  protocol: Protocol = 2;
  /** Made when something is written. */
  #bytes: Buffer = EMPTY;
  #length = 0;
  readonly #firstBytes: number;
  /** The most that was written at once since `shrink` was called. */
  #peak = 0;

  constructor(firstBytes = FIRST_BYTES) {
    this.#firstBytes = firstBytes;
  }

  /** Bytes allocated. */
  get size(): number {
    return this.#bytes.length;
  }

  get peak(): number {
    return this.#peak;
  }

  /** To be called at times: gives back what was not needed since the last time. */
  shrink(): void {
    if (this.#length === 0 && this.#bytes.length > LEAST_BYTES && 2 * this.#peak < this.#bytes.length)
      this.#bytes = Buffer.allocUnsafeSlow(Math.max(LEAST_BYTES, this.#peak));
    this.#peak = this.#length;
  }

  /** Bytes written and not taken. */
  get length(): number {
    return this.#length;
  }

  /** What was written, valid until something is written again. */
  view(from = 0): Buffer {
    return this.#bytes.subarray(from, this.#length);
  }

  /** Where what was written lies, `length` bytes from the start, until something is written again. */
  get storage(): Buffer {
    return this.#bytes;
  }

  /** Forgets what was written from there on. */
  truncate(length = 0): void {
    if (this.#length > this.#peak) this.#peak = this.#length;
    this.#length = length;
    if (length === 0 && this.#bytes.length > KEPT_BYTES_MAX) this.#bytes = EMPTY;
  }

  /** What was written, as a buffer that is the caller's. */
  take(): Buffer {
    const taken = this.view();
    this.#bytes = EMPTY;
    this.#length = 0;
    return taken;
  }

  /** Bytes that are RESP already. */
  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    copyInto(this.#bytes, this.#length, bytes, 0, bytes.length);
    this.#length += bytes.length;
  }

  ok(): void {
    this.raw(OK);
  }

  simple(text: string): void {
    this.#line("+", text);
  }

  /** `text` begins with its code: `ERR …`, `WRONGTYPE …`. */
  error(text: string): void {
    this.#line("-", /[\r\n]/.test(text) ? text.replaceAll(/[\r\n]/g, " ") : text);
  }

  integer(value: number | bigint): void {
    this.#header(58, value);
  }

  boolean(value: boolean): void {
    if (this.protocol === 3) this.raw(value ? TRUE : FALSE);
    else this.integer(value ? 1 : 0);
  }

  /** Latin-1 text as a bulk string. */
  bulk(text: string): void {
    const length = text.length;
    this.#header(36, length);
    this.#room(length + 2);
    const bytes = this.#bytes;
    let at = this.#length;
    if (length <= LOOP_BYTES_MAX) for (let i = 0; i < length; i++) bytes[at++] = text.charCodeAt(i);
    else at += writeLatin1(bytes, text, at);
    bytes[at] = CR;
    bytes[at + 1] = LF;
    this.#length = at + 2;
  }

  bulkBytes(source: Uint8Array, from = 0, length = source.length - from): void {
    this.#header(36, length);
    this.#room(length + 2);
    const bytes = this.#bytes;
    copyInto(bytes, this.#length, source, from, length);
    const at = this.#length + length;
    bytes[at] = CR;
    bytes[at + 1] = LF;
    this.#length = at + 2;
  }

  /** A bulk string, or null for undefined. */
  bulkOrNull(text: string | undefined): void {
    if (text === undefined) this.null();
    else this.bulk(text);
  }

  /** Text that a person may read: `txt`, `mkd`. */
  verbatim(text: string, format = "txt"): void {
    if (this.protocol === 2) return this.bulk(text);
    this.#header(61, text.length + 4);
    this.#room(text.length + 6);
    this.#length += writeLatin1(this.#bytes, `${format}:${text}\r\n`, this.#length);
  }

  null(): void {
    this.raw(this.protocol === 3 ? NULL3 : NULL_BULK);
  }

  /** What a RESP2 client expects where an array could have come. */
  nullArray(): void {
    this.raw(this.protocol === 3 ? NULL3 : NULL_ARRAY);
  }

  array(count: number): void {
    this.#header(42, count);
  }

  /** `count` pairs follow. */
  map(count: number): void {
    if (this.protocol === 3) this.#header(37, count);
    else this.#header(42, 2 * count);
  }

  set(count: number): void {
    this.#header(this.protocol === 3 ? 126 : 42, count);
  }

  /** Out of band: not the reply to a command. In RESP2 an array. */
  push(count: number): void {
    this.#header(this.protocol === 3 ? 62 : 42, count);
  }

  attribute(count: number): void {
    this.#header(124, count);
  }

  /** As `formatDouble` writes it. */
  double(value: number): void {
    if (this.protocol === 3) this.#line(",", formatDouble(value));
    else this.bulk(formatDouble(value));
  }

  bigNumber(value: string): void {
    if (this.protocol === 3) this.#line("(", value);
    else this.bulk(value);
  }

  bulks(texts: readonly string[]): void {
    this.array(texts.length);
    for (const text of texts) this.bulk(text);
  }

  /** Type byte, number, line end. */
  #header(type: number, value: number | bigint): void {
    this.#room(32);
    const bytes = this.#bytes;
    let at = this.#length;
    bytes[at++] = type;
    if (typeof value === "number" && value >= 0 && value <= INT32_MAX) {
      let left = value | 0; // for V8 an integer from here on, whatever came before
      let digits = 1;
      for (let limit = 10; left >= limit && digits < INT32_DIGITS; limit *= 10) digits++;
      for (let last = at + digits - 1; last >= at; last--) {
        const rest = (left / 10) | 0;
        bytes[last] = ZERO + left - 10 * rest;
        left = rest;
      }
      at += digits;
    } else at += writeLatin1(bytes, String(value), at);
    bytes[at++] = CR;
    bytes[at++] = LF;
    this.#length = at;
  }

  #line(type: string, text: string): void {
    this.#room(text.length + 3);
    this.#length += writeLatin1(this.#bytes, `${type}${text}\r\n`, this.#length);
  }

  #room(count: number): void {
    if (this.#length + count > this.#bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#firstBytes, 2 * this.#bytes.length, this.#length + count));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

/** The shortest text that reads back as the same double, in the form of C's `%.17g`: `inf`, `-inf`, `nan`, `1e+21`. */
export function formatDouble(value: number): string {
  if (value === Infinity) return "inf";
  if (value === -Infinity) return "-inf";
  if (Number.isNaN(value)) return "nan";
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const text = String(value);
  if (!text.includes("e")) return exponentForm(value, text);
  return text.replace(/e([+-])(\d)$/, "e$10$2");
}

/** C changes to an exponent below 1e-4 and from 17 digits on, JavaScript below 1e-6 and from 21 digits on. */
function exponentForm(value: number, text: string): string {
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e17) return text;
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

export function copyInto(target: Buffer, at: number, source: Uint8Array, from: number, length: number): void {
  if (length <= LOOP_COPY_BYTES_MAX) for (let i = 0; i < length; i++) target[at + i] = source[from + i]!;
  else copyBytes.call(source, target, at, from, from + length);
}

/** Makes no view of the part, as `set` would need. */
const copyBytes = Buffer.prototype.copy;

const OK = Buffer.from("+OK\r\n");
const NULL_BULK = Buffer.from("$-1\r\n");
const NULL_ARRAY = Buffer.from("*-1\r\n");
const NULL3 = Buffer.from("_\r\n");
const TRUE = Buffer.from("#t\r\n");
const FALSE = Buffer.from("#f\r\n");
