import type { Client, Subscriptions } from "./client.ts";
import { matchesGlob } from "../glob.ts";

export type SubscriptionKind = keyof Subscriptions;

/** Who listens to which channels, patterns of channels, and channels of one shard. */
export class PubSub {
  readonly channels = new Map<string, Set<Client>>();
  readonly patterns = new Map<string, Set<Client>>();
  readonly shards = new Map<string, Set<Client>>();

  /** False where it had it already. */
  add(client: Client, kind: SubscriptionKind, name: string): boolean {
    const own = (client.subscriptions ??= { channels: new Set(), patterns: new Set(), shards: new Set() })[kind];
    if (own.has(name)) return false;
    own.add(name);
    const clients = this[kind].get(name) ?? new Set();
    this[kind].set(name, clients.add(client));
    return true;
  }

  /** False where it had not. */
  remove(client: Client, kind: SubscriptionKind, name: string): boolean {
    if (client.subscriptions?.[kind].delete(name) !== true) return false;
    const clients = this[kind].get(name);
    clients?.delete(client);
    if (clients?.size === 0) this[kind].delete(name);
    const { channels, patterns, shards } = client.subscriptions;
    if (channels.size + patterns.size + shards.size === 0) client.subscriptions = undefined;
    return true;
  }

  drop(client: Client): void {
    for (const kind of ["channels", "patterns", "shards"] as const)
      for (const name of Array.from(client.subscriptions?.[kind] ?? [])) this.remove(client, kind, name);
  }

  /** Sends a message; how many got it. */
  publish(channel: string, message: string): number {
    let receivers = 0;
    for (const client of this.channels.get(channel) ?? []) {
      send(client, "message", channel, message);
      receivers++;
    }
    for (const [pattern, clients] of this.patterns) {
      if (!matchesGlob(pattern, channel)) continue;
      for (const client of clients) {
        send(client, "pmessage", pattern, channel, message);
        receivers++;
      }
    }
    return receivers;
  }

  publishToShard(channel: string, message: string): number {
    const clients = this.shards.get(channel);
    for (const client of clients ?? []) send(client, "smessage", channel, message);
    return clients?.size ?? 0;
  }
}

function send(client: Client, ...parts: readonly string[]): void {
  client.pushes((reply) => {
    reply.push(parts.length);
    for (const part of parts) reply.bulk(part);
  });
}
