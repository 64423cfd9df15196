import type { ReplyWriter } from "../../../wire/resp/reply-writer.ts";
import type { Request } from "../../../wire/resp/request.ts";
import type { Client } from "../../clients/client.ts";
import { noSuchKey, syntaxError } from "../../command-error.ts";
import { STREAM } from "../../keyspace/value.ts";
import { integerAt } from "../../numbers.ts";
import type { Pending, StreamGroup } from "../../types/stream-group.ts";
import type { StreamEntry, StreamValue } from "../../types/stream.ts";
import { ID_MAX, ID_MIN, textOfId } from "../../types/stream-id.ts";
import { keyAt, type Command } from "../command.ts";
import { helpOf } from "../help.ts";
import { groupOf } from "./group.ts";
import { replyEntries, replyEntry } from "./reply.ts";

const FULL_COUNT = 10;

const subcommand = (name: string, arity: number, summary: string, run: NonNullable<Command["run"]>): Command => ({
  name: `xinfo|${name}`,
  arity,
  flags: ["readonly"],
  group: "stream",
  summary,
  since: "5.0.0",
  keys: keyAt(2, "RO", "access"),
  run,
});

const stream = subcommand("stream", -3, "What is known of a stream; FULL: with its entries and groups.", (client, request) => {
  const full = request.count > 3;
  let count = FULL_COUNT;
  if (full) {
    if (request.word(3) !== "full" || (request.count !== 4 && !(request.count === 6 && request.word(4) === "count"))) throw syntaxError();
    if (request.count === 6) count = integerAt(request, 5);
  }
  const value = streamAt(client, request);
  const { reply } = client;
  reply.map(full ? 9 : 10);
  pair(reply, "length", value.size);
  // What Redis tells of its radix tree: here a block stands for a key of it.
  pair(reply, "radix-tree-keys", value.blockCount);
  pair(reply, "radix-tree-nodes", value.blockCount + 1);
  pair(reply, "last-generated-id", textOfId(value.lastId));
  pair(reply, "max-deleted-entry-id", textOfId(value.deletedMax));
  pair(reply, "entries-added", value.added);
  pair(reply, "recorded-first-entry-id", textOfId(value.first?.id ?? ID_MIN));
  if (full) return replyFull(client, value, count <= 0 ? Infinity : count);
  pair(reply, "groups", value.groups.size);
  replyOne(reply, "first-entry", value.first);
  replyOne(reply, "last-entry", value.last);
});

function replyFull(client: Client, value: StreamValue, count: number): void {
  const { reply } = client;
  reply.bulk("entries");
  replyEntries(reply, value.range(ID_MIN, ID_MAX, count));
  reply.bulk("groups");
  reply.array(value.groups.size);
  for (const [name, group] of value.groups) {
    reply.map(7);
    pair(reply, "name", name);
    replyProgress(reply, value, group);
    pair(reply, "pel-count", group.pending.size);
    reply.bulk("pending");
    replyPending(reply, group.pending.all(), count, true);
    reply.bulk("consumers");
    reply.array(group.consumers.size);
    for (const consumer of group.consumers.values()) {
      reply.map(4);
      pair(reply, "name", consumer.name);
      pair(reply, "seen-time", consumer.seenMs);
      pair(reply, "pel-count", consumer.pending.size);
      reply.bulk("pending");
      replyPending(reply, consumer.pending.all(), count, false);
    }
  }
}

function replyProgress(reply: ReplyWriter, value: StreamValue, group: StreamGroup): void {
  pair(reply, "last-delivered-id", textOfId(group.lastId));
  pair(reply, "entries-read", group.entriesRead);
  pair(reply, "lag", value.lagOf(group));
}

function replyPending(reply: ReplyWriter, pending: readonly Pending[], count: number, withConsumer: boolean): void {
  const shown = pending.slice(0, count);
  reply.array(shown.length);
  for (const { id, consumer, deliveredMs, deliveries } of shown) {
    reply.array(withConsumer ? 4 : 3);
    reply.bulk(textOfId(id));
    if (withConsumer) reply.bulk(consumer.name);
    reply.integer(deliveredMs);
    reply.integer(deliveries);
  }
}

const groups = subcommand("groups", 3, "The groups of a stream.", (client, request) => {
  const value = streamAt(client, request);
  const { reply } = client;
  reply.array(value.groups.size);
  for (const [name, group] of value.groups) {
    reply.map(6);
    pair(reply, "name", name);
    pair(reply, "consumers", group.consumers.size);
    pair(reply, "pending", group.pending.size);
    replyProgress(reply, value, group);
  }
});

const consumers = subcommand("consumers", 4, "The consumers of a group.", (client, request) => {
  const group = groupOf(streamAt(client, request), request.text(2), request.text(3));
  const { reply, store } = client;
  reply.array(group.consumers.size);
  for (const consumer of group.consumers.values()) {
    reply.map(3);
    pair(reply, "name", consumer.name);
    pair(reply, "pending", consumer.pending.size);
    pair(reply, "idle", Math.max(0, store.nowMs - consumer.seenMs));
  }
});

function streamAt(client: Client, request: Request): StreamValue {
  const value = client.readValue<StreamValue>(request, 2, STREAM);
  if (value === undefined) throw noSuchKey();
  return value;
}

function pair(reply: ReplyWriter, name: string, value: string | number | undefined): void {
  reply.bulk(name);
  if (typeof value === "number") reply.integer(value);
  else reply.bulkOrNull(value);
}

function replyOne(reply: ReplyWriter, name: string, entry: StreamEntry | undefined): void {
  reply.bulk(name);
  if (entry === undefined) reply.null();
  else replyEntry(reply, entry);
}

const help = helpOf("xinfo", "stream", "5.0.0", [
  "CONSUMERS <key> <groupname>",
  "    Show the consumers of a group.",
  "GROUPS <key>",
  "    Show the groups of a stream.",
  "STREAM <key> [FULL [COUNT <count>]]",
  "    Show a stream; FULL with entries, groups, consumers and what is pending.",
]);

export const XINFO: Command = {
  name: "xinfo",
  arity: -2,
  flags: [],
  group: "stream",
  summary: "What is known of streams, groups and consumers.",
  since: "5.0.0",
  subcommands: [consumers, groups, stream, help],
};
