import type { Cluster } from "../../cluster/start-cluster.ts";
import type { Member } from "../../cluster/members.ts";
import { rangesOf } from "../../slots/slot-text.ts";

/** Slots of a primary; a replica has none of its own. */
export const slotRanges = ({ node }: Cluster, { id }: Member): readonly { readonly start: number; readonly end: number }[] =>
  rangesOf(node.slotsOf(id));

/** Whose replica a node is; empty: it owns slots, or is nobody's. */
export const primaryOf = ({ node }: Cluster, { id, primary }: Member): string => (node.slotsOf(id).length > 0 ? "" : primary);

/** The highest of its slots; a replica has its primary's. */
export function configEpochOf(cluster: Cluster, member: Member): number {
  const { node } = cluster;
  const primary = node.member(primaryOf(cluster, member)) ?? member;
  return node.map.ranges.reduce((epoch, range) => (range.owner === primary.id ? Math.max(epoch, range.epoch) : epoch), primary.configEpoch);
}

export const currentEpoch = (cluster: Cluster): number =>
  cluster.node.known.reduce((epoch, member) => Math.max(epoch, member.configEpoch), cluster.node.map.epoch);

/** A line of CLUSTER NODES (https://redis.io/docs/latest/commands/cluster-nodes/). */
export function nodeLine(cluster: Cluster, member: Member): string {
  const { node, keeper } = cluster;
  const { id, host, port, tlsPort, busPort, hostname } = member;
  const isSelf = id === node.id;
  const failed = node.failed.has(id);
  const primary = primaryOf(cluster, member);
  const flags = [
    ...(isSelf ? ["myself"] : []),
    primary === "" ? "master" : "slave",
    ...(failed ? ["fail"] : []),
    ...(isSelf && node.store.parameters["cluster-replica-no-failover"] ? ["nofailover"] : []),
  ];
  const open = isSelf
    ? [...[...node.migrating].map(([slot, to]) => `[${slot}->-${to}]`), ...[...node.importing].map(([slot, from]) => `[${slot}-<-${from}]`)]
    : [];
  const address = `${host}:${port || tlsPort}@${busPort}${hostname === "" ? "" : `,${hostname}`}`;
  const heardMs = isSelf ? 0 : (keeper.heardMs.get(id) ?? 0);
  const link = failed ? "disconnected" : "connected";
  return [
    `${id} ${address} ${flags.join(",")} ${primary || "-"} 0 ${heardMs} ${configEpochOf(cluster, member)} ${link}`,
    ...slotRanges(cluster, member).map(({ start, end }) => (start === end ? String(start) : `${start}-${end}`)),
    ...open,
  ].join(" ");
}
