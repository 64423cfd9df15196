import type { OwnedRange } from "./slot-map.ts";

/**
 * Which moved slots a set of data has: all that moves have brought to this shard up to this epoch of its cluster's slot map. It goes where the data go: along the history of changes,
 * into journal and RDB. So a replica knows whether what its primary owns is here as well.
 */
export interface Holding {
  readonly cluster: string;
  readonly shard: string;
  readonly epoch: number;
}

/** A field of an RDB. */
export const HOLDING = "anax-holding";

/** Whether the data of a node of that shard have the keys of this range. */
export const holds = (holding: Holding | undefined, of: Omit<Holding, "epoch">, { movedAt = 0 }: OwnedRange): boolean =>
  holding?.cluster === of.cluster && holding.shard === of.shard && movedAt <= holding.epoch;

export const holdingText = ({ cluster, shard, epoch }: Holding): string => `${cluster} ${shard} ${epoch}`;

/** Undefined: it is none. */
export function parseHolding(text: string): Holding | undefined {
  const [, cluster, shard, epoch] = /^([0-9a-f]{40}) ([0-9a-f]{40}) (\d{1,15})$/.exec(text) ?? [];
  return cluster === undefined || shard === undefined ? undefined : { cluster, shard, epoch: Number(epoch) };
}
