import type { Client } from "../../clients/client.ts";
import { CommandError, syntaxError } from "../../command-error.ts";
import { STREAM } from "../../keyspace/value.ts";
import { integerAt } from "../../numbers.ts";
import type { Pending, StreamGroup } from "../../types/stream-group.ts";
import type { StreamValue } from "../../types/stream.ts";
import { textOfId } from "../../types/stream-id.ts";
import { keyAt, type Command } from "../command.ts";
import { rangeEnd, rangeStart } from "./ids.ts";

export const XPENDING: Command = {
  name: "xpending",
  arity: -3,
  flags: ["readonly"],
  group: "stream",
  summary: "What consumers of a group have not acknowledged.",
  since: "5.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { count } = request;
    const withIdle = count > 3 && request.word(3) === "idle";
    const at = withIdle ? 5 : 3;
    if (count !== 3 && count !== at + 3 && count !== at + 4) throw syntaxError();
    const [key, name] = [request.text(1), request.text(2)];
    const idleMin = withIdle ? integerAt(request, 4) : 0;
    const range =
      count === 3
        ? undefined
        : { from: rangeStart(request.text(at)), to: rangeEnd(request.text(at + 1)), count: Math.max(0, integerAt(request, at + 2)) };
    const group = client.readValue<StreamValue>(request, 1, STREAM)?.groups.get(name);
    if (group === undefined) throw new CommandError(`NOGROUP No such key '${key}' or consumer group '${name}'`);
    if (range === undefined) return replySummary(client, group);
    const consumer = count === at + 4 ? group.consumers.get(request.text(at + 3)) : undefined;
    if (count === at + 4 && consumer === undefined) return client.reply.array(0);
    const found: Pending[] = [];
    for (const pending of (consumer ?? group).pending.from(range.from)) {
      if (pending.id > range.to || found.length >= range.count) break;
      if (client.store.nowMs - pending.deliveredMs >= idleMin) found.push(pending);
    }
    client.reply.array(found.length);
    for (const { id, consumer: owner, deliveredMs, deliveries } of found) {
      client.reply.array(4);
      client.reply.bulk(textOfId(id));
      client.reply.bulk(owner.name);
      client.reply.integer(Math.max(0, client.store.nowMs - deliveredMs));
      client.reply.integer(deliveries);
    }
  },
};

function replySummary({ reply }: Client, { pending, consumers }: StreamGroup): void {
  const all = pending.all();
  reply.array(4);
  reply.integer(all.length);
  if (all.length === 0) {
    reply.null();
    reply.null();
    return reply.nullArray();
  }
  reply.bulk(textOfId(all[0]!.id));
  reply.bulk(textOfId(all.at(-1)!.id));
  const busy = [...consumers.values()].filter((consumer) => consumer.pending.size > 0);
  reply.array(busy.length);
  for (const consumer of busy) {
    reply.array(2);
    reply.bulk(consumer.name);
    reply.bulk(String(consumer.pending.size));
  }
}
