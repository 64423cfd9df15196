import { dropSlots } from "../slots/drop-slots.ts";
import { piecesOf, stillOpen, type OwnedRange, type SlotMap } from "../slots/slot-map.ts";
import { slotsIn } from "../slots/slot-text.ts";
import type { ClusterChanges } from "./changes.ts";
import { redirectBlocked, unsubscribeLost } from "./lost-clients.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { FAILOVER, SETSLOT } from "./claim-name.ts";
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

/** Slots that were taken over from a node which leads on, as it has others: their keys are of no use to it. The lease says so, or the map if it still does. */
export function dropTaken(node: ClusterNode, takenBy: string): void {
  if (node.isReplica || !node.ownsSlots) return;
  const wasTaken = takenBy !== "" && takenBy !== node.id;
  const gone = node.map.ranges.filter(({ owner, by }) => owner !== node.id && owner !== "" && (wasTaken || by.startsWith(`${FAILOVER}/`)));
  dropSlots(node.store, slotsIn(gone), (slot) => node.ownerOf(slot) !== node.id && !node.importing.has(slot));
}

/** Slots that stay with a node which is gone, though their keys may be here: nobody else may have these, until somebody has claimed the slots anew. */
export function dropOnceClaimed(node: ClusterNode, left: readonly OwnedRange[]): void {
  let open = left;
  if (open.length === 0) return;
  const isAnothers = (slot: number): boolean => node.ownerOf(slot) !== node.id && node.ownerOf(slot) !== "" && !node.importing.has(slot);
  const listener = (map: SlotMap): void => {
    const pieces = piecesOf(map, open);
    const claimed = pieces.filter((piece) => !stillOpen([piece], open));
    if (claimed.length === 0) return;
    open = pieces.filter((piece) => stillOpen([piece], open));
    if (open.length === 0) node.onMap.delete(listener);
    if (!node.isReplica) dropSlots(node.store, slotsIn(claimed), isAnothers);
  };
  node.onMap.add(listener);
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
