import { randomBytes } from "node:crypto";
import { dropSlotsNow } from "../slots/drop-slots.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { changeMembers, parted, promoted } from "./members.ts";

/** By the map a node has the place of another: the list follows. Throws `register.*`, `limit.exceeded`. */
export async function recordPromotion(node: ClusterNode, leader: string, before: string): Promise<void> {
  const keepsSlots = before !== "" && node.slotsOf(before).length > 0;
  const fresh = randomBytes(20).toString("hex");
  node.learnMembers(await changeMembers(node.register, (all) => (keepsSlots ? parted(all, leader, fresh) : promoted(all, leader, before))));
}

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
  if (address?.host === host && address.port === port) return;
  dropSlotsNow(node.store, [...node.store.databases[0]!.dropping.keys()]); // the primary may have some of these slots, and go on with the history that is here
  replication.follow({ host, port });
}
