import { ReplyWriter, formatDouble } from "../../../wire/resp/reply-writer.ts";
import type { Address } from "../../keyspace/arena.ts";
import type { Database } from "../../keyspace/database.ts";
import { HASH_TYPE, LIST, SET, STREAM, STRING, ZSET } from "../../keyspace/value.ts";
import { writeCommand } from "../../propagation.ts";
import type { HashValue } from "../../types/hash-value.ts";
import type { List } from "../../types/list.ts";
import type { SetValue } from "../../types/set-value.ts";
import type { SortedSet } from "../../types/sorted-set.ts";
import type { StreamValue } from "../../types/stream.ts";
import { ID_MAX, ID_MIN, textOfId } from "../../types/stream-id.ts";
import type { SnapshotEncoder } from "../snapshot.ts";

/** Elements of one command: Redis' bound. */
const ITEMS_MAX = 64;

/** Writes keys as the commands that make them: the base of a journal without RDB (`aof-use-rdb-preamble no`). */
export class CommandEncoder implements SnapshotEncoder {
  readonly #writer = new ReplyWriter();
  #selected = -1;
  keys = 0;

  constructor(libraries: Iterable<string>) {
    for (const code of libraries) this.#command(["FUNCTION", "LOAD", "REPLACE", code]);
  }

  get length(): number {
    return this.#writer.length;
  }

  entry(db: Database, index: number, address: Address): void {
    if (index !== this.#selected) {
      this.#command(["SELECT", String(index)]);
      this.#selected = index;
    }
    const key = db.keyOf(address);
    this.#value(db, address, key);
    const expiryMs = db.expiryOf(address);
    if (expiryMs !== undefined) this.#command(["PEXPIREAT", key, String(expiryMs)]);
    this.keys++;
  }

  end(): void {
    // Commands need no end.
  }

  take(): Buffer {
    return this.#writer.take();
  }

  #value(db: Database, address: Address, key: string): void {
    const value = db.objectOf(address);
    switch (db.typeOf(address)) {
      case STRING:
        return this.#command(["SET", key, db.stringOf(address)]);
      case LIST:
        return this.#inBatches(["RPUSH", key], 1, (add) => (value as List).each(0, value!.size, add));
      case SET:
        return this.#inBatches(["SADD", key], 1, (add) => {
          for (const member of (value as SetValue).parts()) add(member);
        });
      case ZSET:
        return this.#inBatches(["ZADD", key], 2, (add) =>
          (value as SortedSet).each((member, score) => {
            add(formatDouble(score));
            add(member);
          }),
        );
      case HASH_TYPE:
        return this.#inBatches(["HMSET", key], 2, (add) => {
          const hash = value as HashValue;
          for (let position = 0; position < hash.size; position++) {
            add(hash.fieldAt(position));
            add(hash.valueAt(position));
          }
        });
      case STREAM:
        return this.#stream(key, value as StreamValue);
      default:
        throw new Error(`no commands for a value of type ${db.typeOf(address)}`);
    }
  }

  #inBatches(start: readonly string[], each: number, fill: (add: (part: string) => void) => void): void {
    let parts = [...start];
    fill((part) => {
      parts.push(part);
      if (parts.length < start.length + each * ITEMS_MAX) return;
      this.#command(parts);
      parts = [...start];
    });
    if (parts.length > start.length) this.#command(parts);
  }

  #stream(key: string, stream: StreamValue): void {
    for (const { id, fields } of stream.range(ID_MIN, ID_MAX)) this.#command(["XADD", key, textOfId(id), ...fields]);
    // A stream with nothing in it comes into being by an entry that is trimmed at once.
    if (stream.size === 0) this.#command(["XADD", key, "MAXLEN", "0", textOfId(stream.lastId === ID_MIN ? 1n : stream.lastId), "x", "y"]);
    const about = ["ENTRIESADDED", String(stream.added), "MAXDELETEDID", textOfId(stream.deletedMax)];
    this.#command(["XSETID", key, textOfId(stream.lastId), ...about]);
    for (const [name, group] of stream.groups) {
      const read = group.entriesRead === undefined ? [] : ["ENTRIESREAD", String(group.entriesRead)];
      this.#command(["XGROUP", "CREATE", key, name, textOfId(group.lastId), ...read]);
      for (const consumer of group.consumers.values()) {
        this.#command(["XGROUP", "CREATECONSUMER", key, name, consumer.name]);
        for (const { id, deliveredMs, deliveries } of consumer.pending.all()) {
          const how = ["TIME", String(deliveredMs), "RETRYCOUNT", String(deliveries), "JUSTID", "FORCE"];
          this.#command(["XCLAIM", key, name, consumer.name, "0", textOfId(id), ...how]);
        }
      }
    }
  }

  #command(parts: readonly (string | Uint8Array)[]): void {
    writeCommand(this.#writer, parts);
  }
}
