import { pauseUntil, unpause } from "../clients/pause.ts";
import { CommandError } from "../command-error.ts";
import { connectTo } from "../replica/migration.ts";
import type { Replica } from "../replica/replica.ts";
import type { Member } from "./members.ts";
import type { Cluster } from "./start-cluster.ts";

/** As Redis' own limit for a failover by hand: until then the replica must have everything. */
const HAND_OVER_MS = 5000;
const LOOK_MS = 2;

/** A replica asks its primary for its slots; the answer comes when the register has decided. What goes wrong is logged: the slots stay where they are. */
export function requestHandOver({ node, keeper }: Cluster, primary: Member): void {
  const { clock, parameters } = node.store;
  const { masteruser, masterauth } = parameters;
  const work = async (): Promise<void> => {
    using line = await connectTo({ host: primary.host, port: primary.port }, 2 * HAND_OVER_MS, clock);
    if (masterauth !== "") await line.call([["AUTH", ...(masteruser === "" ? [] : [masteruser]), masterauth]]);
    const [answer = ""] = await line.call([["CLUSTER", "HANDOVER", node.id]]);
    if (!answer.startsWith("+")) throw new CommandError(answer.slice(1));
    await keeper.look();
  };
  work().catch((error: unknown) => node.log.warn("store.cluster-hand-over-failed", { primary: primary.id, error }));
}

/**
 * A primary lets writes wait until that replica has everything, and gives it its slots. Writes that waited are sent on then, so none is lost. Throws a `CommandError` where the replica does
 * not get so far in time, or `register.*`: then the slots are whose the register says.
 */
export async function giveUpTo({ node, changes }: Cluster, to: Member): Promise<void> {
  const { store } = node;
  const { replication } = store;
  if (replication === undefined || node.isReplica || to.primary !== node.id) throw new CommandError("ERR Not a replica of this node");
  if (store.pauses.has("failover")) throw new CommandError("ERR A failover is under way");
  const hasAll = (): boolean => replicaOf(replication.primary.online, to)?.ackOffset === store.replicationOffset;
  const untilMs = store.clock.nowMs() + HAND_OVER_MS;
  pauseUntil(store, Infinity, "write", "failover");
  try {
    replication.primary.askAckNow();
    while (!hasAll()) {
      if (store.clock.nowMs() > untilMs) throw new CommandError("ERR The replica has not got everything in time");
      await store.clock.sleep(LOOK_MS);
    }
    const history = store.replicationId;
    node.log.info("store.cluster-hands-over", { to: to.id, slots: node.slotsOf(node.id).length });
    await changes.handOver(to.id, () => {
      // Slots that have come meanwhile, with which a history begins anew, or are about to, the replica has not got.
      if (node.awaitsOwn || store.replicationId !== history)
        throw new CommandError("ERR The replica has not got slots yet that have just moved to this node");
    });
  } finally {
    unpause(store, "failover");
  }
}

/** Of those at its port the one at its address, where there are several: what a connection comes from need not be what the node is known by. */
function replicaOf(online: readonly Replica[], { host, port, tlsPort }: Member): Replica | undefined {
  const there = online.filter(({ announced }) => announced.port === port || announced.port === tlsPort);
  return there.length === 1 ? there[0] : there.find(({ announced }) => announced.host === host);
}
