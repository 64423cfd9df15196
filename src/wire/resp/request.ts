import { latin1Of, writeLatin1 } from "../../base/latin1.ts";

/** The most arguments that Redis takes in one command. */
export const ARGUMENTS_MAX = 1024 * 1024;

/** Arguments of which a request remembers hashes. */
export const HASHES_MAX = 4;

/**
 * One command as it came: the name and its arguments, as ranges of one buffer. The parser fills the same object for every command, so whoever
 * keeps it beyond the command's end takes a `copy`. Text is latin-1: one character for one byte, so that nothing binary is lost.
 */
export class Request {
  bytes: Buffer = EMPTY;
  count = 0;
  offsets: Int32Array = new Int32Array(16);
  lengths: Int32Array = new Int32Array(16);
  /** For whoever looks for what an argument names: hashes of the first ones, 32 bits each, … */
  readonly hashes = new Int32Array(HASHES_MAX);
  /** … and which are there, a bit for each. They hold until the request is filled anew. */
  hashed = 0;

  /** A command from parts: what a script calls, what a journal or another server sends. */
  static of(parts: readonly (string | Uint8Array)[]): Request {
    const request = new Request();
    request.bytes = Buffer.allocUnsafe(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      request.add(at, part.length);
      if (typeof part === "string") writeLatin1(request.bytes, part, at);
      else request.bytes.set(part, at);
      at += part.length;
    }
    return request;
  }

  add(offset: number, length: number): void {
    if (this.count === this.offsets.length) this.#grow();
    this.offsets[this.count] = offset;
    this.lengths[this.count++] = length;
  }

  text(index: number): string {
    const from = this.offsets[index]!;
    return latin1Of(this.bytes, from, from + this.lengths[index]!);
  }

  /** In lower case, for names and options. */
  word(index: number): string {
    return this.text(index).toLowerCase();
  }

  /** The bytes of an argument, not copied. */
  slice(index: number): Buffer {
    const from = this.offsets[index]!;
    return this.bytes.subarray(from, from + this.lengths[index]!);
  }

  texts(from = 0, to = this.count): string[] {
    const all: string[] = [];
    for (let i = from; i < to; i++) all.push(this.text(i));
    return all;
  }

  /** Holds whatever becomes of the buffer that it was read into. */
  copy(): Request {
    const copy = new Request();
    const first = this.offsets[0] ?? 0;
    const last = this.count - 1;
    const end = this.count === 0 ? first : this.offsets[last]! + this.lengths[last]!;
    copy.bytes = Buffer.allocUnsafe(end - first);
    this.bytes.copy(copy.bytes, 0, first, end);
    for (let i = 0; i < this.count; i++) copy.add(this.offsets[i]! - first, this.lengths[i]!);
    return copy;
  }

  #grow(): void {
    const [offsets, lengths] = [this.offsets, this.lengths];
    this.offsets = new Int32Array(offsets.length * 4);
    this.lengths = new Int32Array(offsets.length * 4);
    this.offsets.set(offsets);
    this.lengths.set(lengths);
  }
}

const EMPTY = Buffer.alloc(0);
