import type { Client } from "../../clients/client.ts";
import { CommandError } from "../../command-error.ts";
import type { StreamConsumer, StreamGroup } from "../../types/stream-group.ts";
import type { StreamEntry, StreamValue } from "../../types/stream.ts";
import { ID_MAX, textOfId, type StreamId } from "../../types/stream-id.ts";
import { replyEntries, replyEntry } from "./reply.ts";

/** A consumer that reads for its group. */
export interface Reader {
  readonly group: string;
  readonly consumer: string;
  /** What it is given counts as acknowledged. */
  readonly noAck: boolean;
}

export const noGroupToRead = (key: string, group: string): CommandError =>
  new CommandError(`NOGROUP No such key '${key}' or consumer group '${group}' in XREADGROUP with GROUP option`);

/** Gives a consumer what nobody of its group has been given, and writes it. */
export function deliver(
  client: Client,
  key: string,
  { stream, count }: { readonly stream: StreamValue; readonly count: number },
  reader: Reader,
): void {
  const { nowMs } = client.store;
  const group = stream.groups.get(reader.group)!;
  const consumer = consumerOf(client, key, group, reader);
  const entries = stream.range(group.lastId + 1n, ID_MAX, count);
  for (const entry of entries) {
    advance(stream, group, entry);
    if (!reader.noAck) group.give(entry.id, consumer, nowMs, 1);
  }
  client.store.dirty++;
  if (reader.noAck) client.alsoPropagate(setIdOf(key, reader.group, group));
  else for (const { id } of entries) client.alsoPropagate(claimOf(key, reader.group, group, id));
  replyEntries(client.reply, entries);
}

/** The group has come so far. */
function advance(stream: StreamValue, group: StreamGroup, { id }: StreamEntry): void {
  if (group.entriesRead !== undefined && !stream.hasGapAfter(id)) group.entriesRead++;
  else if (stream.added > 0) group.entriesRead = stream.addedUpTo(id);
  group.lastId = id;
}

/** Writes again what a consumer has been given and not acknowledged; of what was deleted since only the ids. */
export function history(
  client: Client,
  key: string,
  { stream, after, count }: { readonly stream: StreamValue; readonly after: StreamId; readonly count: number },
  reader: Reader,
): void {
  const { reply, store } = client;
  const consumer = consumerOf(client, key, stream.groups.get(reader.group)!, reader);
  const found = after === ID_MAX ? [] : [...consumer.pending.from(after + 1n).take(Math.min(count, Number.MAX_SAFE_INTEGER))];
  reply.array(found.length);
  for (const pending of found) {
    const entry = stream.get(pending.id);
    if (entry === undefined) {
      reply.array(2);
      reply.bulk(textOfId(pending.id));
      reply.nullArray();
      continue;
    }
    pending.deliveredMs = store.nowMs;
    pending.deliveries++;
    replyEntry(reply, entry);
  }
}

function consumerOf(client: Client, key: string, group: StreamGroup, reader: Reader): StreamConsumer {
  const isNew = !group.consumers.has(reader.consumer);
  const consumer = consumerNamed(client, key, group, reader.consumer);
  if (isNew && reader.noAck) client.alsoPropagate(["XGROUP", "CREATECONSUMER", key, reader.group, reader.consumer]);
  return consumer;
}

/** The consumer of this name, made if there is none: what it is given tells others of it. */
export function consumerNamed(client: Client, key: string, group: StreamGroup, name: string): StreamConsumer {
  const { store } = client;
  const known = group.consumers.get(name);
  if (known !== undefined) {
    known.seenMs = store.nowMs;
    return known;
  }
  client.wroteText(key, "t", "xgroup-createconsumer");
  store.effects ??= [];
  return group.createConsumer(name, store.nowMs);
}

/** That a consumer has an entry, in a form that can be applied again. */
export function claimOf(key: string, groupName: string, group: StreamGroup, id: StreamId): readonly string[] {
  const { consumer, deliveredMs, deliveries } = group.pending.get(id)!;
  const times = ["TIME", String(deliveredMs), "RETRYCOUNT", String(deliveries)];
  return ["XCLAIM", key, groupName, consumer.name, "0", textOfId(id), ...times, "FORCE", "JUSTID", "LASTID", textOfId(group.lastId)];
}

export const setIdOf = (key: string, name: string, { lastId, entriesRead }: StreamGroup): readonly string[] => [
  "XGROUP",
  "SETID",
  key,
  name,
  textOfId(lastId),
  "ENTRIESREAD",
  String(entriesRead ?? -1),
];
