import type { Address } from "../../keyspace/arena.ts";
import type { Database } from "../../keyspace/database.ts";
import { frequencyOf, idleSecondsOf } from "../../keyspace/usage.ts";
import { ByteWriter } from "./byte-writer.ts";
import { Crc64 } from "./crc64.ts";
import { OPCODE, VERSION_WRITTEN } from "./rdb-types.ts";
import { typeOf, writeValue } from "./write-value.ts";

export interface RdbOptions {
  /** `rdbcompression`. */
  readonly compresses: boolean;
  /** `rdbchecksum`: without it zeros stand in its place. */
  readonly checksums: boolean;
  /** What is written of the use of keys, as `maxmemory-policy` needs it. */
  readonly usage: "none" | "lru" | "lfu";
  /** `lfu-decay-time`. */
  readonly lfuDecayMinutes: number;
}

/** Writes an RDB key by key, in any order of keys and databases. What was written is to be taken from time to time. */
export class RdbEncoder {
  readonly #options: RdbOptions;
  readonly #writer: ByteWriter;
  readonly #checksum = new Crc64();
  #selected = -1;
  #keys = 0;

  constructor(options: RdbOptions) {
    this.#options = options;
    this.#writer = new ByteWriter(options.compresses);
  }

  /** Bytes that were not taken yet. */
  get length(): number {
    return this.#writer.length;
  }

  /** Keys written so far. */
  get keys(): number {
    return this.#keys;
  }

  /** The start: versions and whatever is known of where it comes from. */
  begin(fields: readonly (readonly [string, string])[], functions: Iterable<string>): void {
    const writer = this.#writer;
    writer.rawText(`REDIS${String(VERSION_WRITTEN).padStart(4, "0")}`);
    for (const [name, value] of fields) {
      writer.byte(OPCODE.AUX);
      writer.text(name);
      writer.text(value);
    }
    for (const code of functions) {
      writer.byte(OPCODE.FUNCTION);
      writer.text(code);
    }
  }

  /** A record of that database, which `index` names. */
  entry(db: Database, index: number, address: Address): void {
    const writer = this.#writer;
    if (index !== this.#selected) this.#select(db, index);
    const expiryMs = db.expiryOf(address);
    if (expiryMs !== undefined) {
      writer.byte(OPCODE.EXPIRE_TIME_MS);
      writer.int64(expiryMs);
    }
    this.#usage(db, address);
    writer.byte(typeOf(db, address));
    writer.text(db.keyOf(address));
    writeValue(writer, db, address);
    this.#keys++;
  }

  end(): void {
    this.#writer.byte(OPCODE.EOF);
    const rest = this.#writer.take();
    if (this.#options.checksums) this.#checksum.update(rest);
    const checksum = Buffer.alloc(8);
    if (this.#options.checksums) this.#checksum.writeTo(checksum, 0);
    this.#writer.raw(rest);
    this.#writer.raw(checksum);
    this.#ended = true;
  }

  #ended = false;

  /** What was written since the last call. */
  take(): Buffer {
    const taken = this.#writer.take();
    if (this.#options.checksums && !this.#ended) this.#checksum.update(taken);
    return taken;
  }

  #select(db: Database, index: number): void {
    const writer = this.#writer;
    writer.byte(OPCODE.SELECT_DB);
    writer.count(index);
    writer.byte(OPCODE.RESIZE_DB);
    writer.count(db.count);
    writer.count(db.expiryCount);
    this.#selected = index;
  }

  #usage(db: Database, address: Address): void {
    const { usage, lfuDecayMinutes } = this.#options;
    const bits = db.useBitsOf(address);
    if (usage === "lru") {
      this.#writer.byte(OPCODE.IDLE);
      this.#writer.count(idleSecondsOf(bits, db.nowMs));
    } else if (usage === "lfu") {
      this.#writer.byte(OPCODE.FREQ);
      this.#writer.byte(frequencyOf(bits, db.nowMs, lfuDecayMinutes));
    }
  }
}
