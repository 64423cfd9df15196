import { createConnection, type Socket } from "node:net";
import { encode } from "../feed.ts";
import { KEY_BYTES } from "./keys.ts";

export interface Writes {
  readonly port: number;
  readonly valueBytes: number;
  /** All keys have `KEY_BYTES`. */
  readonly keyOf: (key: number) => string;
}

/** Without a reply: a server that is further behind does not keep up, and gets no more. */
const WAITING_MAX = 4096;
const CHUNK_REQUESTS = 256;
const CHUNKS_MAX = WAITING_MAX / CHUNK_REQUESTS;
const ASKING = Buffer.from(encode(["ASKING"]));
/** Where the key stands in a request. */
const KEY_AT = encode(["SET", "kkk".padEnd(KEY_BYTES)]).indexOf("kkk");
const ANSWER_BYTES = 64 * 1024;
const [LF, PLUS] = [10, 43];
/** Of `+OK` and its end. */
const OK_BYTES = 5;

/** A pipelined connection that writes at little cost: its buffers hold requests whose keys alone are filled in. */
export class WriterConnection {
  readonly socket: Socket;
  readonly #writes: Writes;
  readonly #replied: (key: number, error: string | undefined) => void;
  /** Keys without a reply, in their order; -1: what answers ASKING. */
  readonly #waiting = new Int32Array(4 * WAITING_MAX);
  #first = 0;
  #last = 0;
  readonly #request: Buffer;
  readonly #spares: Buffer[] = [];
  #chunk: Buffer;
  #filled = 0;
  #rest = "";

  /** `error`: what came in place of OK. */
  constructor(writes: Writes, replied: (key: number, error: string | undefined) => void) {
    this.#writes = writes;
    this.#replied = replied;
    this.#request = Buffer.from(encode(["SET", "k".repeat(KEY_BYTES), "y".repeat(writes.valueBytes)]));
    this.#chunk = this.#newChunk();
    const buffer = Buffer.alloc(ANSWER_BYTES);
    const received = (bytes: number): boolean => {
      this.#received(buffer.subarray(0, bytes));
      return true;
    };
    this.socket = createConnection({ host: "127.0.0.1", port: writes.port, noDelay: true, onread: { buffer, callback: received } });
  }

  #newChunk(): Buffer {
    const chunk = Buffer.alloc(this.#request.length * CHUNK_REQUESTS);
    for (let i = 0; i < CHUNK_REQUESTS; i++) this.#request.copy(chunk, i * this.#request.length);
    return chunk;
  }

  /** False: the server has enough to do. */
  add(key: number): boolean {
    if (this.#last - this.#first >= WAITING_MAX) return false;
    this.repeat(key);
    return true;
  }

  addAsking(key: number): void {
    this.flush();
    this.socket.write(ASKING);
    this.#waiting[this.#last++ % this.#waiting.length] = -1;
    this.repeat(key);
  }

  /** What was refused is sent again whatever else waits. */
  repeat(key: number): void {
    if (this.#last - this.#first >= this.#waiting.length) throw new Error("too many writes are on their way");
    this.#waiting[this.#last++ % this.#waiting.length] = key;
    this.#chunk.write(this.#writes.keyOf(key), this.#filled * this.#request.length + KEY_AT, "latin1");
    if (++this.#filled === CHUNK_REQUESTS) this.flush();
  }

  flush(): void {
    if (this.#filled === 0) return;
    const chunk = this.#chunk;
    this.socket.write(chunk.subarray(0, this.#filled * this.#request.length), () => {
      if (this.#spares.length < CHUNKS_MAX) this.#spares.push(chunk);
    });
    this.#chunk = this.#spares.pop() ?? this.#newChunk();
    this.#filled = 0;
  }

  /** Replies are lines, most of them OK. */
  #received(bytes: Buffer): void {
    let at = 0;
    for (let end = bytes.indexOf(LF); end >= 0; end = bytes.indexOf(LF, at)) {
      const isOk = this.#rest === "" && end + 1 - at === OK_BYTES && bytes[at] === PLUS;
      const line = isOk ? "+OK\r" : this.#rest + bytes.toString("latin1", at, end);
      at = end + 1;
      this.#rest = "";
      const key = this.#waiting[this.#first++ % this.#waiting.length]!; // there is one for each reply
      if (key >= 0) this.#replied(key, line === "+OK\r" ? undefined : line.trimEnd());
    }
    this.#rest += bytes.toString("latin1", at);
  }
}
