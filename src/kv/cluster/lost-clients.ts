import { slotOfKey } from "../keyspace/key-slot.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { DOWN, redirect, UNBOUND } from "./route.ts";

/** Who listens to a channel of a slot that has gone is told that it does so no more. */
export function unsubscribeLost(node: ClusterNode, lost: ReadonlySet<number>): void {
  const { pubsub } = node.store;
  for (const [channel, clients] of Array.from(pubsub.shards)) {
    if (!lost.has(slotOfKey(channel))) continue;
    for (const client of Array.from(clients)) {
      pubsub.remove(client, "shards", channel);
      client.pushes((reply) => {
        reply.push(3);
        reply.bulk("sunsubscribe");
        reply.bulk(channel);
        reply.integer(client.subscriptions?.shards.size ?? 0);
      });
    }
  }
}

/** Who waits for a key that will not come here any more is sent on; while the cluster is down, told so. */
export function redirectBlocked(node: ClusterNode): void {
  const { store } = node;
  if (store.blocked.keyCount === 0 || node.isSettling) return;
  for (const client of Array.from(store.clients.values())) {
    const key = client.blocked?.keys[0];
    if (key === undefined) continue;
    const slot = slotOfKey(key);
    const owner = node.ownerOf(slot);
    if (node.isUp && (owner === node.id || (client.readsReplica && owner === node.self.primary))) continue;
    client.fail(!node.isUp ? DOWN : owner === "" ? UNBOUND : redirect(node, client, "MOVED", slot, owner));
    store.blocked.release(client);
  }
}
