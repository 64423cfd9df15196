import type { ClusterNode } from "./cluster-node.ts";

/** Follows whom the register says that this node follows, or leads. */
export function followMembership(node: ClusterNode): void {
  const { replication } = node.store;
  if (replication === undefined) return;
  const primary = node.isReplica ? node.member(node.self.primary) : undefined;
  if (primary === undefined) {
    if (!node.isReplica && replication.link !== undefined) replication.lead();
    return;
  }
  const { host } = primary;
  const port = node.store.parameters["tls-replication"] && primary.tlsPort !== 0 ? primary.tlsPort : primary.port;
  const { address } = replication.link ?? {};
  if (address?.host !== host || address.port !== port) replication.follow({ host, port });
}
