import { ByteReader } from "./byte-reader.ts";
import { Crc64 } from "./crc64.ts";
import { RdbEnds, RdbError } from "./rdb-error.ts";
import { OPCODE, VERSION_READ_MAX } from "./rdb-types.ts";
import { readValue, type ReadValue, type ValueLimits } from "./read-value.ts";
import { skipModule } from "./skip-value.ts";

/** A key as it lies in an RDB. */
export interface RdbKey {
  readonly database: number;
  readonly key: string;
  readonly value: ReadValue;
  /** Unix milliseconds. */
  readonly expiryMs: number | undefined;
  readonly idleSeconds: number | undefined;
  readonly frequency: number | undefined;
}

/** Who takes what an RDB has. Strings are valid during the call only. */
export interface RdbSink {
  key(key: RdbKey): void;
  /** `aof-base`, `repl-id`, `ctime`, … */
  field(name: string, value: string): void;
  /** The code of a library of functions. */
  library(code: string): void;
  /** Something that this server has not and that was passed over: what. */
  skipped(what: string): void;
}

const MAGIC_BYTES = 9;
const CHECKSUM_BYTES = 8;

/**
 * Reads an RDB as its bytes come. What is not whole yet is looked at again once as many bytes more have come as are here, so a large value costs at most twice
 * its time, and memory only for bytes that really came. Pure: it opens nothing and waits for nothing.
 */
export class RdbDecoder {
  readonly #sink: RdbSink;
  readonly #limits: ValueLimits;
  readonly #checksum: Crc64 | undefined;
  #state: "header" | "keys" | "checksum" | "ended" = "header";
  #version = 0;
  #database = 0;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #wanted = 0;
  #offset = 0;

  /** `checks`: whether the checksum is looked at. */
  constructor(sink: RdbSink, limits: ValueLimits, checks: boolean) {
    this.#sink = sink;
    this.#limits = limits;
    this.#checksum = checks ? new Crc64() : undefined;
  }

  /** The whole was read. */
  get ended(): boolean {
    return this.#state === "ended";
  }

  /** Bytes that were read, of those given. */
  get offset(): number {
    return this.#offset;
  }

  /** Takes more bytes, which may be used again afterwards; returns those behind the end. Throws `RdbError`, with the offset at which it stands. */
  feed(chunk: Buffer): Buffer {
    if (this.#heldBytes + chunk.length < this.#wanted) {
      this.#held.push(Buffer.from(chunk));
      this.#heldBytes += chunk.length;
      return NOTHING;
    }
    const bytes = this.#heldBytes === 0 ? chunk : Buffer.concat([...this.#held, chunk]);
    const rest = bytes.subarray(this.#read(bytes));
    if (this.ended) return rest;
    this.#held = rest.length === 0 ? [] : [Buffer.from(rest)];
    this.#heldBytes = rest.length;
    this.#wanted = 2 * rest.length;
    return NOTHING;
  }

  /** No more bytes will come: reads what there is, and returns those behind the end. Throws `RdbError` where that is not all. */
  end(): Buffer {
    this.#wanted = 0;
    const rest = this.feed(NOTHING);
    if (!this.ended) throw this.#errorAt(new RdbEnds());
    return rest;
  }

  /** How many bytes were used. */
  #read(bytes: Buffer): number {
    const reader = new ByteReader(bytes);
    let used = 0;
    try {
      while (!this.ended) {
        this.#step(reader);
        if (this.#state !== "ended") this.#checksum?.update(bytes, used, reader.at);
        this.#offset += reader.at - used;
        used = reader.at;
      }
    } catch (thrown) {
      if (!(thrown instanceof RdbEnds)) throw thrown instanceof RdbError ? this.#errorAt(thrown) : thrown;
    }
    return used;
  }

  #errorAt(error: RdbError): RdbError {
    return new RdbError(`${error.message}, at byte ${this.#offset}`);
  }

  #step(reader: ByteReader): void {
    switch (this.#state) {
      case "header":
        return this.#header(reader);
      case "keys":
        return this.#item(reader);
      case "checksum":
        return this.#end(reader);
      case "ended":
    }
  }

  #header(reader: ByteReader): void {
    const [, version] = /^REDIS(\d{4})$/.exec(reader.rawText(MAGIC_BYTES)) ?? [];
    if (version === undefined) throw new RdbError("it does not begin as an RDB does");
    this.#version = Number(version);
    if (this.#version < 1 || this.#version > VERSION_READ_MAX) throw new RdbError(`unknown version of the format: ${this.#version}`);
    this.#state = "keys";
  }

  /** One key with what stands before it, or one thing between keys. */
  #item(reader: ByteReader): void {
    let expiryMs: number | undefined;
    let idleSeconds: number | undefined;
    let frequency: number | undefined;
    for (;;) {
      const code = reader.byte();
      switch (code) {
        case OPCODE.EXPIRE_TIME:
          expiryMs = reader.int32() * 1000;
          continue;
        case OPCODE.EXPIRE_TIME_MS:
          expiryMs = reader.int64();
          continue;
        case OPCODE.IDLE:
          idleSeconds = reader.count();
          continue;
        case OPCODE.FREQ:
          frequency = reader.byte();
          continue;
        default:
          if (this.#between(reader, code)) return;
      }
      const key = reader.text();
      const value = readValue(reader, code, this.#limits);
      return this.#sink.key({ database: this.#database, key, value, expiryMs, idleSeconds, frequency });
    }
  }

  /** False: it is the type of a value. */
  #between(reader: ByteReader, code: number): boolean {
    switch (code) {
      case OPCODE.SELECT_DB:
        this.#database = reader.count();
        return true;
      case OPCODE.RESIZE_DB:
        reader.count();
        reader.count();
        return true;
      case OPCODE.SLOT_INFO:
        for (let i = 0; i < 3; i++) reader.count();
        return true;
      case OPCODE.AUX: {
        const name = reader.text();
        this.#sink.field(name, reader.text());
        return true;
      }
      case OPCODE.FUNCTION:
        this.#sink.library(reader.text());
        return true;
      case OPCODE.MODULE_AUX:
        this.#sink.skipped(`data of the module ${skipModule(reader)}`);
        return true;
      case OPCODE.FUNCTION_BEFORE_RELEASE:
        throw new RdbError("functions of a release candidate");
      case OPCODE.EOF:
        this.#state = this.#version >= 5 ? "checksum" : "ended";
        return true;
      default:
        return false;
    }
  }

  #end(reader: ByteReader): void {
    const at = reader.take(CHECKSUM_BYTES);
    const written = reader.bytes.subarray(at, at + CHECKSUM_BYTES);
    if (this.#checksum !== undefined && written.some((byte) => byte !== 0) && !this.#checksum.equals(written, 0))
      throw new RdbError("wrong checksum");
    this.#state = "ended";
  }
}

const NOTHING = Buffer.alloc(0);
