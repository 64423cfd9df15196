import type { StreamEntry, StreamValue } from "../../types/stream.ts";
import type { StreamGroup } from "../../types/stream-group.ts";
import { ID_MAX, ID_MIN, msOf, sequenceOf, type StreamId } from "../../types/stream-id.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { ListpackWriter } from "./listpack.ts";

/** Entries of one listpack. */
const NODE_ENTRIES_MAX = 100;
const NODE_BYTES_MAX = 4096;
const PLAIN_FLAGS = 0;
const SAME_FIELDS = 2;
/** Stands for "not known" where a number is wanted. */
const UNKNOWN = 2n ** 64n - 1n;

/** As Redis 7.0 does: listpacks of entries, each with differences to its first one, then what is known of the whole and its groups. */
export function writeStream(writer: ByteWriter, stream: StreamValue): void {
  const nodes = nodesOf(stream);
  writer.count(nodes.length);
  for (const entries of nodes) writeNode(writer, entries);
  writer.count(stream.size);
  writeId(writer, stream.lastId);
  writeId(writer, stream.first?.id ?? ID_MIN);
  writeId(writer, stream.deletedMax);
  writer.count(stream.added);
  writer.count(stream.groups.size);
  for (const [name, group] of stream.groups) writeGroup(writer, name, group);
}

function writeId(writer: ByteWriter, id: StreamId): void {
  writer.bigCount(msOf(id));
  writer.bigCount(sequenceOf(id));
}

function nodesOf(stream: StreamValue): StreamEntry[][] {
  const nodes: StreamEntry[][] = [];
  let node: StreamEntry[] = [];
  let bytes = 0;
  for (const entry of stream.range(ID_MIN, ID_MAX)) {
    const size = entry.fields.reduce((sum, text) => sum + text.length, 0);
    if (node.length > 0 && (node.length === NODE_ENTRIES_MAX || bytes + size > NODE_BYTES_MAX)) {
      nodes.push(node);
      node = [];
      bytes = 0;
    }
    node.push(entry);
    bytes += size;
  }
  if (node.length > 0) nodes.push(node);
  return nodes;
}

function writeNode(writer: ByteWriter, entries: readonly StreamEntry[]): void {
  const first = entries[0]!; // no node is empty
  const names = first.fields.filter((_, index) => index % 2 === 0);
  const pack = new ListpackWriter();
  pack.integer(entries.length);
  pack.integer(0); // deleted
  pack.integer(names.length);
  for (const name of names) pack.text(name);
  pack.integer(0);
  for (const { id, fields } of entries) {
    const same = fields.length === 2 * names.length && names.every((name, index) => fields[2 * index] === name);
    pack.integer(same ? SAME_FIELDS : PLAIN_FLAGS);
    pack.text(difference(msOf(first.id), msOf(id)));
    pack.text(difference(sequenceOf(first.id), sequenceOf(id)));
    if (!same) pack.integer(fields.length / 2);
    for (let i = same ? 1 : 0; i < fields.length; i += same ? 2 : 1) pack.text(fields[i]!);
    // How many texts to go back to the entry's flags.
    pack.integer(same ? names.length + 3 : fields.length + 4);
  }
  writer.count(16);
  writer.id(first.id);
  writer.blob(pack.finish());
}

const difference = (from: bigint, to: bigint): string => String(BigInt.asIntN(64, to - from));

function writeGroup(writer: ByteWriter, name: string, group: StreamGroup): void {
  writer.text(name);
  writeId(writer, group.lastId);
  writer.bigCount(group.entriesRead === undefined ? UNKNOWN : BigInt(group.entriesRead));
  writer.count(group.pending.size);
  for (const { id, deliveredMs, deliveries } of group.pending.all()) {
    writer.id(id);
    writer.int64(deliveredMs);
    writer.count(deliveries);
  }
  writer.count(group.consumers.size);
  for (const consumer of group.consumers.values()) {
    writer.text(consumer.name);
    writer.int64(consumer.seenMs);
    writer.count(consumer.pending.size);
    for (const { id } of consumer.pending.all()) writer.id(id);
  }
}
