import type { ClusterChanges } from "./changes.ts";
import { redirectBlocked, unsubscribeLost } from "./lost-clients.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { SETSLOT } from "./claim-name.ts";
import { keysOfSlot } from "./slot-keys.ts";

/** What has to be done when slots go to another node. */
export function watchDepartures(node: ClusterNode, changes: ClusterChanges): void {
  node.onMap.add((_, lost) => {
    if (lost.length > 0) unsubscribeLost(node, new Set(lost));
    redirectBlocked(node);
    if (lost.length > 0) dropKeys(node, new Set(lost.filter((slot) => wentBySetSlot(node, slot))));
    const last = lost.at(-1);
    if (last !== undefined && !node.ownsSlots && wentBySetSlot(node, last)) followNewOwner(node, changes, node.ownerOf(last));
  });
}

/** Who has given its last slot away becomes a replica of the node that has got it, as in Redis. */
function followNewOwner(node: ClusterNode, changes: ClusterChanges, owner: string): void {
  if (!node.store.parameters["cluster-allow-replica-migration"] || node.member(owner) === undefined) return;
  changes.replicate(owner).catch((error: unknown) => node.log.warn("store.cluster-change-failed", { error }));
}

/** After a start: keys that were still here when slots went. */
export function dropLeftovers(node: ClusterNode): void {
  if (node.isReplica || node.store.databases[0]!.count === 0) return;
  const gone = new Set<number>();
  for (const { start, end, owner, by } of node.map.ranges)
    if (owner !== node.id && by.startsWith(`${SETSLOT}/`))
      for (let slot = start; slot <= end; slot++) if (!node.importing.has(slot)) gone.add(slot);
  dropKeys(node, gone);
}

const wentBySetSlot = (node: ClusterNode, slot: number): boolean =>
  node.map.ranges.find(({ start, end }) => start <= slot && slot <= end)?.by.startsWith(`${SETSLOT}/`) === true;

/** Replicas drop them, too. */
function dropKeys(node: ClusterNode, slots: ReadonlySet<number>): void {
  const { store } = node;
  const db = store.databases[0]!; // there is one in a cluster
  if (slots.size === 0 || node.isReplica) return;
  const keys = [...slots].flatMap((slot) => keysOfSlot(db, slot));
  for (const key of keys) {
    const address = db.peekText(key);
    if (address === 0) continue;
    db.remove(address);
    store.dirty++;
    store.keyChanged(db, key);
    store.propagateParts(db, ["DEL", key]);
  }
  store.propagation.flush(false);
  if (keys.length > 0) node.log.info("store.cluster-keys-dropped", { keys: keys.length, slots: slots.size });
}
