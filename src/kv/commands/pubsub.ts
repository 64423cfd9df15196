import type { ReplyWriter } from "../../wire/resp/reply-writer.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { matchesGlob } from "../glob.ts";
import type { PubSub, SubscriptionKind } from "../clients/pubsub.ts";
import type { Command, CommandFlag, KeyFlag, KeySpec } from "./command.ts";
import { helpOf } from "./help.ts";
import { REPLICATE } from "../replicate.ts";

const FLAGS: readonly CommandFlag[] = ["pubsub", "noscript", "loading", "stale"];

/** For routing, a channel of a shard is where a key of its name would be. */
const shardChannels = (last: number): readonly KeySpec[] => [
  { flags: ["not_key"] satisfies KeyFlag[], begin: { index: 1 }, find: { last, step: 1 } },
];

/** Answers as a message that comes by itself: with the kind, the channel, and what is subscribed now. */
function confirm(client: Client, kind: string, name: string | undefined, counts: "all" | "shards"): void {
  const { channels, patterns, shards } = client.subscriptions ?? { channels: new Set(), patterns: new Set(), shards: new Set() };
  const write = (reply: ReplyWriter): void => {
    reply.push(3);
    reply.bulk(kind);
    reply.bulkOrNull(name);
    reply.integer(counts === "shards" ? shards.size : channels.size + patterns.size);
  };
  if (client.silence === "off") write(client.reply);
  else client.pushes(write);
}

const subscribe = (name: string, kind: SubscriptionKind, since: string): Command => ({
  name,
  arity: -2,
  flags: FLAGS,
  group: "pubsub",
  summary: `Listens to ${kind === "patterns" ? "channels by patterns" : kind}.`,
  since,
  ...(kind === "shards" && { keys: shardChannels(-1) }),
  run(client, request) {
    for (const channel of request.texts(1)) {
      client.store.pubsub.add(client, kind, channel);
      confirm(client, name, channel, kind === "shards" ? "shards" : "all");
    }
  },
});

const unsubscribe = (name: string, kind: SubscriptionKind, since: string): Command => ({
  name,
  arity: -1,
  flags: FLAGS,
  group: "pubsub",
  summary: `Listens no more to ${kind === "patterns" ? "channels by patterns" : kind}: these, or all.`,
  since,
  ...(kind === "shards" && { keys: shardChannels(-1) }),
  run(client, request) {
    const counts = kind === "shards" ? "shards" : "all";
    const names = request.count > 1 ? request.texts(1) : [...(client.subscriptions?.[kind] ?? [])];
    for (const channel of names) {
      client.store.pubsub.remove(client, kind, channel);
      confirm(client, name, channel, counts);
    }
    if (names.length === 0) confirm(client, name, undefined, counts);
  },
});

const publishes = (
  name: "publish" | "spublish",
  since: string,
  publish: (pubsub: PubSub, channel: string, message: string) => number,
): Command => ({
  name,
  arity: 3,
  flags: ["pubsub", "loading", "stale", "fast", "may_replicate"],
  group: "pubsub",
  summary: "Sends a message to those who listen; how many do.",
  since,
  ...(name === "spublish" && { keys: shardChannels(0) }),
  run(client, request: Request) {
    const { store, db } = client;
    const [channel, message] = [request.text(1), request.text(2)];
    client.reply.integer(publish(store.pubsub, channel, message));
    if (store.cluster !== undefined) store.cluster.peers.publish(channel, message, name === "spublish");
    else store.propagateParts(db, [name.toUpperCase(), request.slice(1), request.slice(2)], REPLICATE.replicas);
  },
});

const lists = (name: string, kind: "channels" | "shards", since: string): Command => ({
  name: `pubsub|${name}`,
  arity: -2,
  flags: ["pubsub", "loading", "stale"],
  group: "pubsub",
  summary: "Channels that somebody listens to.",
  since,
  run(client, request) {
    const names = [...client.store.pubsub[kind].keys()];
    client.reply.bulks(request.count > 2 ? names.filter((channel) => matchesGlob(request.text(2), channel)) : names);
  },
});

const counts = (name: string, kind: "channels" | "shards", since: string): Command => ({
  name: `pubsub|${name}`,
  arity: -2,
  flags: ["pubsub", "loading", "stale"],
  group: "pubsub",
  summary: "How many listen to each of these channels.",
  since,
  run(client, request) {
    client.reply.map(request.count - 2);
    for (const channel of request.texts(2)) {
      client.reply.bulk(channel);
      client.reply.integer(client.store.pubsub[kind].get(channel)?.size ?? 0);
    }
  },
});

const numpat: Command = {
  name: "pubsub|numpat",
  arity: 2,
  flags: ["pubsub", "loading", "stale"],
  group: "pubsub",
  summary: "How many different patterns somebody listens by.",
  since: "2.8.0",
  run: (client) => client.reply.integer(client.store.pubsub.patterns.size),
};

const PUBSUB: Command = {
  name: "pubsub",
  arity: -2,
  flags: [],
  group: "pubsub",
  summary: "Who listens to what.",
  since: "2.8.0",
  subcommands: [
    lists("channels", "channels", "2.8.0"),
    helpOf("pubsub", "pubsub", "6.2.0", [
      "CHANNELS [<pattern>]",
      "    Channels that somebody listens to.",
      "NUMPAT",
      "    How many patterns somebody listens by.",
      "NUMSUB [<channel> ...]",
      "    How many listen to each of these channels.",
      "SHARDCHANNELS [<pattern>]",
      "    Channels of this shard that somebody listens to.",
      "SHARDNUMSUB [<shardchannel> ...]",
      "    How many listen to each of these channels of this shard.",
    ]),
    numpat,
    counts("numsub", "channels", "2.8.0"),
    lists("shardchannels", "shards", "7.0.0"),
    counts("shardnumsub", "shards", "7.0.0"),
  ],
};

export const PUBSUB_COMMANDS: readonly Command[] = [
  PUBSUB,
  publishes("publish", "2.0.0", (pubsub, channel, message) => pubsub.publish(channel, message)),
  publishes("spublish", "7.0.0", (pubsub, channel, message) => pubsub.publishToShard(channel, message)),
  subscribe("subscribe", "channels", "2.0.0"),
  subscribe("psubscribe", "patterns", "2.0.0"),
  subscribe("ssubscribe", "shards", "7.0.0"),
  unsubscribe("unsubscribe", "channels", "2.0.0"),
  unsubscribe("punsubscribe", "patterns", "2.0.0"),
  unsubscribe("sunsubscribe", "shards", "7.0.0"),
];
