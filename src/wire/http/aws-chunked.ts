import { AnaxError } from "../../base/errors.ts";

/** What the next bytes of a body in the encoding `aws-chunked` say. */
export type ChunkEvent =
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  /** The chunk is complete; with its signature, where chunks have one. The last one is empty. */
  | { readonly kind: "chunk"; readonly signature: string | undefined }
  | { readonly kind: "end"; readonly trailers: readonly (readonly [name: string, value: string])[] };

/** Longest line before a chunk, and longest trailer. */
const LINE_BYTES_MAX = 1024;
const TRAILERS_MAX = 16;

type State = "size" | "data" | "data-end" | "trailers" | "done";

/**
 * Decodes `aws-chunked` (Amazon S3 API Reference, "Signature Calculations for the Authorization Header: Transferring a Payload in Multiple Chunks"): chunks of
 * `SIZE[;chunk-signature=HEX]\r\n DATA \r\n`, the last with size 0, then trailers of `name:value\r\n`, then an empty line. Throws `input.invalid`; never holds more
 * than a line.
 */
export class AwsChunkedDecoder {
  readonly #signed: boolean;
  #state: State = "size";
  #line = "";
  /** Of the current chunk. */
  #left = 0;
  #signature: string | undefined;
  /** Still to come, as the head of the request has promised. */
  #promised: number;
  readonly #trailers: (readonly [string, string])[] = [];

  constructor(options: { readonly signed: boolean; readonly decodedBytes: number }) {
    this.#signed = options.signed;
    this.#promised = options.decodedBytes;
  }

  *push(input: Uint8Array): Generator<ChunkEvent> {
    for (let at = 0; at < input.length;) {
      if (this.#state === "data") {
        const part = input.subarray(at, at + this.#left);
        at += part.length;
        this.#left -= part.length;
        yield { kind: "data", bytes: part };
        if (this.#left === 0) this.#state = "data-end";
        continue;
      }
      if (this.#state === "done") throw malformed("bytes after the end");
      const newline = input.indexOf(0x0a, at);
      const end = newline < 0 ? input.length : newline;
      if (this.#line.length + end - at > LINE_BYTES_MAX) throw malformed("a line is too long");
      for (; at < end; at++) this.#line += String.fromCharCode(input[at]!); // below the length
      if (newline < 0) return;
      at++;
      const line = this.#line.endsWith("\r") ? this.#line.slice(0, -1) : this.#line;
      this.#line = "";
      yield* this.#lineEnded(line);
    }
  }

  /** There is no more. Some clients leave the last empty line out. */
  *finish(): Generator<ChunkEvent> {
    if (this.#state === "trailers" && this.#line === "") yield* this.#lineEnded("");
    if (this.#state !== "done") throw malformed("the body ends within a chunk");
  }

  *#lineEnded(line: string): Generator<ChunkEvent> {
    if (this.#state === "size") {
      this.#begin(line);
      if (this.#left > 0) return;
      this.#state = "trailers";
      yield { kind: "chunk", signature: this.#signature };
    } else if (this.#state === "data-end") {
      if (line !== "") throw malformed("a chunk is longer than its size");
      this.#state = "size";
      yield { kind: "chunk", signature: this.#signature };
    } else if (line !== "") this.#trailer(line);
    else {
      if (this.#promised !== 0) throw malformed("fewer bytes than x-amz-decoded-content-length says");
      this.#state = "done";
      yield { kind: "end", trailers: this.#trailers };
    }
  }

  #begin(line: string): void {
    const match = /^([0-9a-fA-F]{1,13})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line);
    if (match === null || (match[2] === undefined) === this.#signed) throw malformed("no size of a chunk");
    this.#left = Number.parseInt(match[1]!, 16); // the pattern has the group
    if (this.#left > this.#promised) throw malformed("more bytes than x-amz-decoded-content-length says");
    this.#promised -= this.#left;
    this.#signature = match[2];
    this.#state = "data";
  }

  #trailer(line: string): void {
    const colon = line.indexOf(":");
    if (colon < 1 || this.#trailers.length === TRAILERS_MAX) throw malformed("no trailer");
    this.#trailers.push([line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]);
  }
}

const malformed = (reason: string): AnaxError => new AnaxError("input.invalid", { encoding: "aws-chunked", reason });
