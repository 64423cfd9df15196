import type { Request } from "../../wire/resp/request.ts";

/** What a key can hold, by the number that stands in its record. */
export const TYPES = ["string", "list", "set", "zset", "hash", "stream"] as const;
export type TypeName = (typeof TYPES)[number];

export const STRING = 0;
export const LIST = 1;
export const SET = 2;
export const ZSET = 3;
export const HASH_TYPE = 4;
export const STREAM = 5;

/** A value that does not lie in the arena itself. */
export interface Value {
  /** Number in `TYPES`. */
  readonly type: number;
  /** What `OBJECT ENCODING` answers. */
  readonly encoding: string;
  /** Memory that it takes, nearly. */
  readonly bytes: number;
  /** Of elements; what `LLEN`, `HLEN`, … answer. */
  readonly size: number;
  /** The same content, not shared with this one. */
  copy(): Value;
  /** It is deleted, and empty from now on: lets go of its memory. How many bytes it has seen to. */
  release?(): number;
  /** Its content for `DEBUG DIGEST`: texts of which no two are the same, in any order; a place in an order is part of the text. Undefined for strings. */
  parts?(): Iterable<string>;
  /** What `DEBUG OBJECT` tells of it besides: `ql_nodes:1`. */
  readonly debug?: string;
  /** To be called before several commands are run that are all about this value: what they will look for in it is brought near. */
  fetch?(requests: readonly Request[], count: number): void;
}

/** A string too large for a record. Grows in place. */
export class LargeString implements Value {
  readonly type = STRING;
  readonly encoding = "raw";
  #bytes: Buffer;
  #length: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.allocUnsafeSlow(bytes.length);
    this.#bytes.set(bytes);
    this.#length = bytes.length;
  }

  get bytes(): number {
    return this.#bytes.length;
  }

  get size(): number {
    return this.#length;
  }

  /** Not copied; changes with the value. */
  get content(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes it so long, with zeros after what was there. */
  resize(length: number): void {
    if (length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(length, Math.min(2 * this.#bytes.length, this.#bytes.length + 1024 * 1024)));
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    if (length > this.#length) this.#bytes.fill(0, this.#length, length);
    this.#length = length;
  }

  copy(): LargeString {
    return new LargeString(this.content);
  }
}
