import { latin1Of } from "../../base/latin1.ts";
import { ARGUMENTS_MAX, Request } from "./request.ts";
import { splitInline } from "./inline.ts";

const CR = 13;
const LF = 10;
const STAR = 42;
const DOLLAR = 36;
const ZERO = 48;

/** Redis' limit for an inline command and for the line that tells a length. */
const LINE_BYTES_MAX = 64 * 1024;
/** Before somebody has signed in, commands are short. */
const STRANGER_ARGUMENTS_MAX = 10;
const STRANGER_BULK_BYTES_MAX = 16_384;
/** What stays allocated for a connection that once sent something large. */
const KEPT_BYTES_MAX = 256 * 1024;
const FIRST_BYTES = 16 * 1024;

/** What a connection may send. */
export interface RequestLimits {
  readonly bulkBytesMax: number;
  /** Bytes of commands that are not complete yet, of one connection. */
  readonly pendingBytesMax: number;
}

/** The other side does not speak RESP, or beyond the limits. The message is what Redis answers before it closes the connection. */
export class ProtocolError extends Error {}

/** Who gets the commands. */
export interface RequestSink {
  /** The first `count` of these will be run, in this order, as far as nothing comes between. */
  prepare(requests: readonly Request[], count: number): void;
  /** Runs a command; false: no more of them for now, as the client waits for something. */
  run(request: Request): boolean;
}

/** Commands that are read before the first of them is run. */
export const BATCH_MAX = 16;

/** Where commands are read to that came whole; shared by the connections of one thread. */
export class RequestBatch {
  requests: readonly Request[] = Array.from({ length: BATCH_MAX }, () => new Request());
  /** Where each of them ends. */
  readonly ends = new Int32Array(BATCH_MAX);

  /** Lets others read commands while those that were read here are being run. */
  lend(use: () => void): void {
    const { requests } = this;
    const ends = this.ends.slice();
    this.requests = Array.from({ length: BATCH_MAX }, () => new Request());
    use();
    this.requests = requests;
    this.ends.set(ends);
  }
}

/**
 * Bytes of a connection to commands (https://redis.io/docs/latest/develop/reference/protocol-spec/), both RESP arrays and inline ones. Commands that came
 * whole are read where they lie; only the start of one that is not complete is copied and, when the rest comes, continued where it ended.
 */
export class RequestParser {
  readonly #shared: RequestBatch;
  /** A command whose start has come. */
  #partial: Request | undefined;
  /** Of the command under way: arguments that it will have; 0: its first line is not known yet. */
  #expected = 0;
  /** Length of the argument under way; -1: not known yet. */
  #bulk = -1;
  /** From where the command under way goes on, in `#pending`. */
  #resumeAt = 0;
  #pending: Buffer | undefined;
  #pendingBytes = 0;
  #stopped = false;

  constructor(shared: RequestBatch) {
    this.#shared = shared;
  }

  /** Bytes that wait for the rest of their argument, or for the client to go on. */
  get pendingBytes(): number {
    return this.#partial === undefined ? this.#pendingBytes : this.#pendingBytes - this.#resumeAt;
  }

  get allocatedBytes(): number {
    return this.#pending?.length ?? 0;
  }

  /** Bytes that are allocated, or will be once what is announced has come. */
  get claimedBytes(): number {
    const announced = this.#partial !== undefined && this.#bulk >= 0 ? this.#resumeAt + this.#bulk + 2 : 0;
    return Math.max(this.allocatedBytes, announced);
  }

  /** Takes what was read and runs the commands in it. The chunk may be reused afterwards. Throws `ProtocolError`. */
  feed(chunk: Buffer, length: number, sink: RequestSink, limits: RequestLimits, known: boolean): void {
    if (this.#pendingBytes === 0 && !this.#stopped) {
      const used = this.#parse(chunk, length, sink, limits, known);
      if (used < length) this.#keep(chunk, used, length, limits);
      return;
    }
    this.#keep(chunk, 0, length, limits);
    if (!this.#stopped) this.#parsePending(sink, limits, known);
  }

  /** Goes on after the sink had said no. */
  resume(sink: RequestSink, limits: RequestLimits, known: boolean): void {
    this.#stopped = false;
    if (this.#pendingBytes > 0) this.#parsePending(sink, limits, known);
  }

  #parsePending(sink: RequestSink, limits: RequestLimits, known: boolean): void {
    const pending = this.#pending!;
    const used = this.#parse(pending, this.#pendingBytes, sink, limits, known);
    this.#pendingBytes -= used;
    if (this.#pendingBytes > 0) pending.copyWithin(0, used, used + this.#pendingBytes);
    else if (pending.length > KEPT_BYTES_MAX) this.#pending = undefined;
  }

  #keep(bytes: Buffer, from: number, to: number, limits: RequestLimits): void {
    const size = this.#pendingBytes + to - from;
    if (size > limits.pendingBytesMax) throw new ProtocolError("ERR Protocol error: too much unread input");
    if (this.#pending === undefined || this.#pending.length < size) {
      // The length that the argument under way will have is believed only as far as its bytes come, and no more is taken than it needs.
      const needed = this.claimedBytes > this.allocatedBytes ? this.claimedBytes : limits.pendingBytesMax;
      const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, size, Math.min(2 * this.allocatedBytes, needed)));
      this.#pending?.copy(grown, 0, 0, this.#pendingBytes);
      this.#pending = grown;
    }
    bytes.copy(this.#pending, this.#pendingBytes, from, to);
    this.#pendingBytes = size;
  }

  /** Runs the commands that lie whole in the first `end` bytes; how many bytes those took. */
  #parse(bytes: Buffer, end: number, sink: RequestSink, limits: RequestLimits, known: boolean): number {
    let start = 0;
    while (start < end && !this.#stopped) {
      if (this.#partial === undefined) {
        const count = readAhead(this.#shared, bytes, start, end);
        if (count > 0) {
          start = this.#runAhead(sink, count);
          continue;
        }
      }
      const next = bytes[start] === STAR ? this.#array(bytes, start, end, limits, known) : this.#inline(bytes, start, end);
      if (next < 0) break;
      const request = this.#partial ?? this.#shared.requests[0]!; // a batch has some
      this.#partial = undefined;
      this.#expected = 0;
      start = next;
      if (request.count > 0 && !sink.run(request)) this.#stopped = true;
    }
    return start;
  }

  /** Runs commands that were read ahead; where the last one of them ends that was run. */
  #runAhead(sink: RequestSink, count: number): number {
    const { requests, ends } = this.#shared;
    if (count > 1) sink.prepare(requests, count);
    for (let i = 0; i < count; i++)
      if (!sink.run(requests[i]!)) {
        this.#stopped = true;
        return ends[i]!; // the others are read again
      }
    return ends[count - 1]!;
  }

  /** Where the command ends, -1 while it is not complete. */
  #array(bytes: Buffer, start: number, end: number, limits: RequestLimits, known: boolean): number {
    let at = start;
    let request = this.#partial;
    if (request === undefined) {
      request = this.#shared.requests[0]!; // a batch has some
      request.count = 0;
      request.hashed = 0;
      request.bytes = bytes;
      const lineEnd = lineEndOf(bytes, start + 1, end, "too big mbulk count string");
      if (lineEnd < 0) return -1;
      const expected = numberIn(bytes, start + 1, lineEnd);
      if (Number.isNaN(expected) || expected > ARGUMENTS_MAX) throw protocolError("invalid multibulk length");
      if (!known && expected > STRANGER_ARGUMENTS_MAX) throw protocolError("unauthenticated multibulk length");
      at = lineEnd + 2;
      if (expected <= 0) return at;
      this.#expected = expected;
      this.#bulk = -1;
    } else {
      request.bytes = bytes;
      at = this.#resumeAt;
    }
    while (request.count < this.#expected) {
      if (this.#bulk < 0) {
        const lineEnd = at < end ? lineEndOf(bytes, at, end, "too big bulk count string") : -1;
        if (lineEnd < 0) return this.#interrupted(request, start, at);
        if (bytes[at] !== DOLLAR) throw protocolError(`expected '$', got '${printable(bytes[at]!)}'`);
        const length = numberIn(bytes, at + 1, lineEnd);
        if (Number.isNaN(length) || length < 0 || length > limits.bulkBytesMax) throw protocolError("invalid bulk length");
        if (!known && length > STRANGER_BULK_BYTES_MAX) throw protocolError("unauthenticated bulk length");
        this.#bulk = length;
        at = lineEnd + 2;
      }
      if (at + this.#bulk + 2 > end) return this.#interrupted(request, start, at);
      request.add(at, this.#bulk);
      at += this.#bulk + 2;
      this.#bulk = -1;
    }
    return at;
  }

  /** Remembers how far the command has come, by positions that hold once its start lies at 0. */
  #interrupted(request: Request, start: number, at: number): -1 {
    if (this.#partial === undefined) {
      this.#partial = new Request();
      for (let i = 0; i < request.count; i++) this.#partial.add(request.offsets[i]! - start, request.lengths[i]!);
    } else if (start > 0) for (let i = 0; i < request.count; i++) request.offsets[i]! -= start;
    this.#resumeAt = at - start;
    return -1;
  }

  #inline(bytes: Buffer, start: number, end: number): number {
    const found = bytes.indexOf(LF, start);
    if (found < 0 || found >= end) {
      if (end - start > LINE_BYTES_MAX) throw protocolError("too big inline request");
      return -1;
    }
    const words = splitInline(latin1Of(bytes, start, found > start && bytes[found - 1] === CR ? found - 1 : found));
    if (words === undefined) throw protocolError("unbalanced quotes in request");
    this.#partial = Request.of(words);
    return found + 1;
  }
}

/** Reads commands that lie whole in these bytes and are plain; how many. What is not is left to `#array`, with all that may be wrong. */
function readAhead({ requests, ends }: RequestBatch, bytes: Buffer, from: number, end: number): number {
  let count = 0;
  for (let at = from; count < BATCH_MAX; count++) {
    at = plainEnd(requests[count]!, bytes, at, end); // a batch has so many
    if (at < 0) break;
    ends[count] = at;
  }
  return count;
}

/** Arguments of less than 10 KB, fewer than ten of them: neither more nor longer than strangers may send. Where the command ends, -1 where it is not like that. */
function plainEnd(request: Request, bytes: Buffer, from: number, end: number): number {
  if (from + 4 > end || bytes[from] !== STAR || bytes[from + 2] !== CR) return -1;
  const count = bytes[from + 1]! - ZERO;
  if (count < 1 || count > 9) return -1;
  const { offsets, lengths } = request;
  let at = from + 4;
  for (let i = 0; i < count; i++) {
    // The shortest one: `$0` and two line ends.
    if (at + 6 > end || bytes[at] !== DOLLAR) return -1;
    let length = bytes[at + 1]! - ZERO;
    if (length < 0 || length > 9) return -1;
    at += 2;
    while (bytes[at] !== CR) {
      const digit = bytes[at]! - ZERO;
      if (digit < 0 || digit > 9 || length > 999) return -1;
      length = length * 10 + digit;
      if (++at === end) return -1;
    }
    at += 2;
    offsets[i] = at;
    lengths[i] = length;
    at += length + 2;
    if (at > end) return -1;
  }
  if (request.bytes !== bytes) request.bytes = bytes;
  request.count = count;
  request.hashed = 0;
  return at;
}

/** Where the line ends, at its CR; -1 while it has not come. Throws where it is longer than any length. */
function lineEndOf(bytes: Buffer, from: number, end: number, tooLong: string): number {
  for (let at = from; at < end; at++) if (bytes[at] === CR) return at + 1 < end ? at : -1;
  if (end - from > LINE_BYTES_MAX) throw protocolError(tooLong);
  return -1;
}

/** A decimal number, NaN where it is none. */
function numberIn(bytes: Buffer, from: number, to: number): number {
  let at = from;
  const negative = bytes[at] === 45;
  if (negative) at++;
  if (at === to || to - at > 10) return Number.NaN;
  let value = 0;
  for (; at < to; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}

const printable = (byte: number): string => String.fromCharCode(byte);

const protocolError = (text: string): ProtocolError => new ProtocolError(`ERR Protocol error: ${text}`);
