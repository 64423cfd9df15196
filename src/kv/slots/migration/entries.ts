import { latin1Of } from "../../../base/latin1.ts";
import type { Request } from "../../../wire/resp/request.ts";
import type { Address } from "../../keyspace/arena.ts";
import type { Database } from "../../keyspace/database.ts";
import { CommandReader } from "../../persist/journal/journal-parser.ts";
import { ByteReader } from "../../persist/rdb/byte-reader.ts";
import { ByteWriter } from "../../persist/rdb/byte-writer.ts";
import { RdbError } from "../../persist/rdb/rdb-error.ts";
import { readValue, type ReadValue, type ValueLimits } from "../../persist/rdb/read-value.ts";
import { typeOf, writeValue } from "../../persist/rdb/write-value.ts";
import { malformed } from "./frames.ts";

// What the payload of a data frame is made of: docs/formats/slot-migration.md.

const CLEAR = 0;
const KEY = 1;
const COMMAND = 2;
const EXPIRES = 1;
const RAW = 2;
const KEY_HEAD_BYTES = 14;

/** Of buffers that were given back, so many are kept, up to this size each: more than may be on its way. */
const SPARES_MAX = 64;
const SPARE_BYTES_MAX = 1024 * 1024;

/**
 * Gathers entries until they are taken. Buffers are used again: V8 counts what lies outside of its heap, and would collect all of it many times a second while slots are copied.
 */
export class EntryWriter {
  readonly #value = new ByteWriter(false);
  readonly #out = new ByteWriter(false);
  readonly #head = Buffer.alloc(KEY_HEAD_BYTES + 8);
  readonly #spares: Buffer[] = [];
  keys = 0;

  get bytes(): number {
    return this.#out.length;
  }

  /** All keys of the moving slots are gone. */
  clear(): void {
    this.#out.byte(CLEAR);
  }

  /** A key with what it holds at this moment, in place of what it may have held. */
  key(db: Database, address: Address): void {
    const key = db.keyOf(address);
    this.#value.clear();
    this.#value.byte(typeOf(db, address));
    writeValue(this.#value, db, address);
    const expiry = db.expiryOf(address);
    const head = this.#head;
    head[0] = KEY;
    head[1] = (expiry === undefined ? 0 : EXPIRES) | (db.isRaw(address) ? RAW : 0);
    head.writeUInt32BE(db.useBitsOf(address), 2);
    head.writeUInt32BE(key.length, 6);
    head.writeUInt32BE(this.#value.length, 10);
    if (expiry !== undefined) head.writeDoubleBE(expiry, KEY_HEAD_BYTES);
    this.#out.rawPart(head, 0, expiry === undefined ? KEY_HEAD_BYTES : head.length);
    this.#out.rawText(key);
    this.#out.raw(this.#value.view());
    if (this.#value.length > SPARE_BYTES_MAX) this.#value.take();
    this.keys++;
  }

  /** What a write has changed, as RESP, between two places. */
  command(bytes: Buffer, from: number, end: number): void {
    this.#head[0] = COMMAND;
    this.#head.writeUInt32BE(end - from, 1);
    this.#out.rawPart(this.#head, 0, 5);
    this.#out.rawPart(bytes, from, end);
  }

  take(): { readonly payload: Buffer; readonly keys: number } {
    const taken = { payload: this.#out.take(this.#spares.pop()), keys: this.keys };
    this.keys = 0;
    return taken;
  }

  /** A payload that nobody looks at any more. */
  giveBack(payload: Buffer): void {
    const { buffer } = payload;
    if (this.#spares.length < SPARES_MAX && buffer.byteLength <= SPARE_BYTES_MAX) this.#spares.push(Buffer.from(buffer));
  }
}

export interface EntrySink {
  clear(): void;
  key(entry: KeyEntry): void;
  command(request: Request): void;
}

export interface KeyEntry {
  readonly key: string;
  readonly value: Exclude<ReadValue, { readonly skipped: string }>;
  readonly expiryMs: number | undefined;
  readonly useBits: number;
  readonly raw: boolean;
}

/** Hands on all entries of a payload. Throws `migration.malformed` where it is none; what came before was handed on. */
export function readEntries(payload: Buffer, limits: ValueLimits, sink: EntrySink): void {
  let at = 0;
  const reader = new CommandReader();
  const take = (bytes: number): number => {
    const from = at;
    if (from + bytes > payload.length) throw malformed("an entry that is cut off");
    at += bytes;
    return from;
  };
  while (at < payload.length) {
    const kind = payload[take(1)];
    if (kind === CLEAR) sink.clear();
    else if (kind === KEY) sink.key(keyEntryAt(payload, take, limits));
    else if (kind === COMMAND) {
      const length = payload.readUInt32BE(take(4));
      const from = take(length);
      sink.command(commandIn(reader, payload, from, from + length));
    } else throw malformed("an entry of a kind that is not known");
  }
}

function keyEntryAt(payload: Buffer, take: (bytes: number) => number, limits: ValueLimits): KeyEntry {
  const head = take(KEY_HEAD_BYTES - 1);
  const flags = payload[head]!;
  const useBits = payload.readUInt32BE(head + 1);
  const keyBytes = payload.readUInt32BE(head + 5);
  const valueBytes = payload.readUInt32BE(head + 9);
  const expiryMs = (flags & EXPIRES) === 0 ? undefined : payload.readDoubleBE(take(8));
  if (flags > (EXPIRES | RAW) || useBits >= 2 ** 24) throw malformed("a key with flags that are not known");
  if (expiryMs !== undefined && !Number.isSafeInteger(expiryMs)) throw malformed("a time that cannot be");
  const keyFrom = take(keyBytes);
  const valueFrom = take(valueBytes);
  const key = latin1Of(payload, keyFrom, keyFrom + keyBytes);
  return { key, expiryMs, useBits, raw: (flags & RAW) !== 0, value: valueIn(payload.subarray(valueFrom, valueFrom + valueBytes), limits) };
}

function valueIn(bytes: Buffer, limits: ValueLimits): KeyEntry["value"] {
  const reader = new ByteReader(bytes, 0, bytes.length);
  try {
    const value = readValue(reader, reader.byte(), limits);
    if ("skipped" in value || reader.left > 0) throw malformed("a value of a kind that is not known");
    return value;
  } catch (thrown) {
    throw thrown instanceof RdbError ? malformed(thrown.message) : thrown;
  }
}

/** Valid until the next one. */
function commandIn(reader: CommandReader, payload: Buffer, from: number, end: number): Request {
  const parsed = reader.restart(from).read(payload);
  if (typeof parsed !== "object" || parsed.request === undefined || parsed.end !== end) throw malformed("a command that is none");
  return parsed.request;
}
