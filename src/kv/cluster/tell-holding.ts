import { REPLICATE } from "../replicate.ts";
import { holds, holdingText, type Holding } from "../slots/holding.ts";
import type { OwnedRange } from "../slots/slot-map.ts";
import type { ClusterNode } from "./cluster-node.ts";

/** Whether this node's data have the keys of these slots, which its shard owns. */
export const hasKeysOf = ({ store, self }: ClusterNode, range: OwnedRange): boolean => holds(store.holding, self, range);

/**
 * Once all slots of a primary are in place, its history of changes says so: whoever has got so far along it may take these slots over. To be asked whenever map, list or what
 * arrives have changed.
 */
export function tellHolding(node: ClusterNode): void {
  const { store, self, map } = node;
  if (node.isReplica || node.awaitsOwn || map.epoch === 0) return; // 0: of a cluster that it has left, or of none
  const own = map.ranges.filter(({ owner }) => owner === node.id);
  if (own.every((range) => hasKeysOf(node, range))) return;
  const epoch = own.reduce((max, { movedAt = 0 }) => Math.max(max, movedAt), 0);
  const holding: Holding = { cluster: self.cluster, shard: self.shard, epoch };
  store.holding = holding;
  store.propagateParts(store.databases[0]!, ["ANAX.HOLDS", ...holdingText(holding).split(" ")], REPLICATE.all);
  store.propagation.flush(false);
}
