import { isIP } from "node:net";
import type { Client } from "../../clients/client.ts";
import { requestHandOver, giveUpTo } from "../../cluster/handover.ts";
import type { Cluster } from "../../cluster/start-cluster.ts";
import { CommandError, syntaxError } from "../../command-error.ts";
import { int64At, integerAt } from "../../numbers.ts";
import type { Command } from "../command.ts";
import { primaryOf } from "./node-text.ts";
import { answerOk, changes, memberAt } from "./subcommand.ts";
import type { Request } from "../../../wire/resp/request.ts";

const PORT_MAX = 65_535;

function meet(client: Client, request: Request, { changes: to }: Cluster): void {
  if (request.count > 5) throw new CommandError("ERR wrong number of arguments for 'cluster|meet' command");
  const [host, port] = [request.text(2), Number(int64At(request, 3, `ERR Invalid TCP base port specified: ${request.text(3)}`))];
  if (request.count === 5) int64At(request, 4, `ERR Invalid bus port specified: ${request.text(4)}`);
  if (isIP(host) === 0 || port < 1 || port > PORT_MAX)
    throw new CommandError(`ERR Invalid node address specified: ${host}:${request.text(3)}`);
  answerOk(client, to.meet(host, port));
}

function forget(client: Client, request: Request, { node, changes: to }: Cluster): void {
  const id = request.text(2);
  if (id === node.id) throw new CommandError("ERR I tried hard but I can't forget myself...");
  if (node.isReplica && node.self.primary === id) throw new CommandError("ERR Can't forget my master!");
  answerOk(client, to.forget(id));
}

function replicate(client: Client, request: Request, cluster: Cluster): void {
  const { node } = cluster;
  const id = request.text(2);
  if (id === node.id) throw new CommandError("ERR Can't replicate myself");
  const primary = node.member(id);
  if (primary !== undefined && primaryOf(cluster, primary) !== "")
    throw new CommandError("ERR I can only replicate a master, not a replica.");
  if (!node.isReplica && (node.ownsSlots || client.db.count > 0))
    throw new CommandError("ERR To set a master the node must be empty and without assigned slots.");
  if (client.store.migrations?.active === true) throw new CommandError("ERR Slots are being moved to this node: cancel that first");
  answerOk(client, cluster.changes.replicate(id));
}

function failover(client: Client, request: Request, cluster: Cluster): void {
  const { node } = cluster;
  const how = request.count === 3 ? request.word(2) : "";
  if (request.count > 3 || !["", "force", "takeover"].includes(how)) throw syntaxError();
  if (!node.isReplica) throw new CommandError("ERR You should send CLUSTER FAILOVER to a replica");
  const primary = node.member(node.self.primary);
  if (primary === undefined) throw new CommandError("ERR I'm a replica but my master is unknown to me");
  if (how === "" && (node.failed.has(primary.id) || client.store.replication?.link?.state !== "connected"))
    throw new CommandError("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE");
  // A primary that lives gives its slots away; of one that does not they are taken when its lease has run out, and not before.
  if (how !== "") cluster.keeper.candidacy.force();
  if (!node.failed.has(primary.id)) requestHandOver(cluster, primary);
  cluster.keeper.poke();
  client.reply.ok();
}

function reset(client: Client, request: Request, { node, changes: to }: Cluster): void {
  if (request.count > 3 || (request.count === 3 && !["hard", "soft"].includes(request.word(2)))) throw syntaxError();
  if (!node.isReplica && client.db.count > 0) throw new CommandError("ERR CLUSTER RESET can't be called with master nodes containing keys");
  const wasReplica = node.isReplica;
  answerOk(
    client,
    to.reset().then(() => {
      if (wasReplica) for (const db of client.store.databases) client.store.flush(db);
      return node.persist();
    }),
  );
}

export const MEMBERSHIP: readonly Command[] = [
  changes("failover", -2, "Makes this replica the primary of its shard.", failover),
  changes("forget", 3, "Removes a node from the cluster.", forget),
  changes("handover", 3, "Between nodes: gives this node's slots to a replica that asks for them.", (client, request, cluster) => {
    answerOk(client, giveUpTo(cluster, memberAt(request, 2, cluster)));
  }),
  changes("meet", -4, "Makes the cluster of the node at an address and this node's one.", meet),
  changes("news", 2, "Between nodes: the register has something new, which this node reads before it answers.", (client, _, { keeper }) => {
    answerOk(client, keeper.refresh());
  }),
  changes("published", 5, "Between nodes: a message for those who listen here.", ({ reply, store }, request) => {
    const [channel, message] = [request.text(3), request.text(4)];
    reply.integer(request.word(2) === "shard" ? store.pubsub.publishToShard(channel, message) : store.pubsub.publish(channel, message));
  }),
  changes("replicate", 3, "Makes this node a replica.", replicate),
  changes("reset", -2, "Has this node leave the cluster.", reset),
  changes("saveconfig", 2, "Writes the node's file.", (client, _, { node }) => answerOk(client, node.persist())),
  changes("set-config-epoch", 3, "Sets the epoch of a node that is new.", (client, request, { node, changes: to }) => {
    const epoch = integerAt(request, 2, { max: Number.MAX_SAFE_INTEGER });
    if (epoch < 0) throw new CommandError(`ERR Invalid config epoch specified: ${epoch}`);
    if (node.known.length > 1)
      throw new CommandError("ERR The user can assign a config epoch only when the node does not know any other node.");
    if (node.self.configEpoch !== 0) throw new CommandError("ERR Node config epoch is already non-zero");
    answerOk(client, to.setConfigEpoch(epoch));
  }),
];
