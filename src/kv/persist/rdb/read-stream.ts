import { int64Of } from "../../numbers.ts";
import { StreamValue } from "../../types/stream.ts";
import { StreamGroup } from "../../types/stream-group.ts";
import { idOf, ID_MIN, type StreamId } from "../../types/stream-id.ts";
import type { ByteReader } from "./byte-reader.ts";
import { listpackTexts } from "./listpack.ts";
import type { ValueLimits } from "./read-value.ts";
import { RdbError } from "./rdb-error.ts";
import { RDB } from "./rdb-types.ts";

const DELETED = 1;
const SAME_FIELDS = 2;

/** A stream, in any of its three encodings. */
export function readStream(reader: ByteReader, type: number, limits: ValueLimits): StreamValue {
  const stream = new StreamValue();
  for (let nodes = reader.count(); nodes > 0; nodes--) readNode(reader, stream, limits);
  const size = reader.count();
  if (size !== stream.size) throw new RdbError("a stream that has not as many entries as it says");
  const lastId = readId(reader);
  if (lastId < stream.lastId) throw new RdbError("a stream whose last id is below an entry's");
  stream.lastId = lastId;
  if (type === RDB.STREAM_LISTPACKS) stream.added = size;
  else {
    readId(reader); // of the first entry: it is known
    stream.deletedMax = readId(reader);
    stream.added = reader.tally();
    if (stream.added < size) throw new RdbError("a stream with more entries than were ever added");
  }
  for (let groups = reader.count(); groups > 0; groups--) readGroup(reader, stream, type);
  return stream;
}

const readId = (reader: ByteReader): StreamId => idOf(reader.bigCount(), reader.bigCount());

function readNode(reader: ByteReader, stream: StreamValue, limits: ValueLimits): void {
  const key = reader.string();
  if (key.length !== 16) throw new RdbError("a stream's block without an id");
  const ms = key.readBigUInt64BE(0);
  const sequence = key.readBigUInt64BE(8);
  const texts = new Texts(listpackTexts(reader.string()));
  const alive = texts.count();
  const deleted = texts.count();
  const names = texts.take(texts.count());
  texts.count();
  const bounds = { entriesMax: limits["stream-node-max-entries"], bytesMax: limits["stream-node-max-bytes"] };
  let found = 0;
  for (let left = alive + deleted; left > 0; left--) {
    const flags = texts.count();
    const id = idOf(added(ms, texts.integer()), added(sequence, texts.integer()));
    const fields: string[] = [];
    if ((flags & SAME_FIELDS) !== 0) for (const name of names) fields.push(name, texts.next());
    else for (const text of texts.take(2 * texts.count())) fields.push(text);
    texts.count();
    if ((flags & DELETED) !== 0) continue;
    if (id <= stream.lastId && (id !== ID_MIN || stream.size > 0)) throw new RdbError("a stream whose ids do not rise");
    stream.add(id, fields, bounds);
    found++;
  }
  if (found !== alive || !texts.atEnd) throw new RdbError("a stream's block that has not as many entries as it says");
}

/** Differences are 64-bit numbers that may go round. */
const added = (part: bigint, difference: bigint): bigint => BigInt.asUintN(64, part + difference);

function readGroup(reader: ByteReader, stream: StreamValue, type: number): void {
  const name = reader.text();
  const lastId = readId(reader);
  const read = type === RDB.STREAM_LISTPACKS ? undefined : reader.bigCount();
  if (stream.groups.has(name)) throw new RdbError("a group twice in a stream");
  // What older versions did not count follows from the last id, unless entries in between were deleted.
  const known = read === undefined ? stream.addedUpTo(lastId) : read > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(read);
  const group = new StreamGroup(lastId, known);
  const pending = new Map<StreamId, { readonly deliveredMs: number; readonly deliveries: number }>();
  for (let left = reader.count(); left > 0; left--) {
    const id = reader.id();
    if (pending.has(id)) throw new RdbError("an entry twice in a group");
    pending.set(id, { deliveredMs: reader.int64(), deliveries: reader.tally() });
  }
  for (let left = reader.count(); left > 0; left--) {
    const consumerName = reader.text();
    if (group.consumers.has(consumerName)) throw new RdbError("a consumer twice in a group");
    const consumer = group.createConsumer(consumerName, reader.int64());
    if (type === RDB.STREAM_LISTPACKS_3) reader.int64(); // when it last was given something
    for (let entries = reader.count(); entries > 0; entries--) {
      const id = reader.id();
      const entry = pending.get(id);
      if (entry === undefined) throw new RdbError("an entry of a consumer that its group has not");
      pending.delete(id);
      group.give(id, consumer, entry.deliveredMs, entry.deliveries);
    }
  }
  if (pending.size > 0) throw new RdbError("an entry of a group that no consumer has");
  stream.groups.set(name, group);
}

/** Goes through the texts of a listpack. Throws where there are no more, or one is not what it should be. */
class Texts {
  readonly #texts: readonly string[];
  #at = 0;

  constructor(texts: readonly string[]) {
    this.#texts = texts;
  }

  get atEnd(): boolean {
    return this.#at === this.#texts.length;
  }

  next(): string {
    const text = this.#texts[this.#at++];
    if (text === undefined) throw new RdbError("a stream's block that ends too early");
    return text;
  }

  integer(): bigint {
    const value = int64Of(this.next());
    if (value === undefined) throw new RdbError("a stream's block with a text where a number should be");
    return value;
  }

  count(): number {
    const value = this.integer();
    if (value < 0n || value > BigInt(this.#texts.length) * 4n + 1024n) throw new RdbError("a stream's block with an impossible number");
    return Number(value);
  }

  take(count: number): readonly string[] {
    if (count > this.#texts.length - this.#at) throw new RdbError("a stream's block that ends too early");
    this.#at += count;
    return this.#texts.slice(this.#at - count, this.#at);
  }
}
