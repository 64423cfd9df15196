import type { ReplyWriter } from "../../../wire/resp/reply-writer.ts";
import type { Client } from "../../clients/client.ts";
import { SLOT_COUNT, slotOfKey } from "../../keyspace/key-slot.ts";
import type { Member } from "../../cluster/members.ts";
import { endpointOf, portFor } from "../../cluster/route.ts";
import { keysOfSlot } from "../../cluster/slot-keys.ts";
import type { Cluster } from "../../cluster/start-cluster.ts";
import { CommandError } from "../../command-error.ts";
import { integerAt } from "../../numbers.ts";
import type { Command } from "../command.ts";
import { configEpochOf, currentEpoch, nodeLine, primaryOf, slotRanges } from "./node-text.ts";
import { asks, memberAt } from "./subcommand.ts";

const offsetOf = ({ node, keeper }: Cluster, { id }: Member): number =>
  id === node.id ? node.store.replicationOffset : keeper.offsetOf(id);

const replicasOf = (cluster: Cluster, { id }: Member): Member[] => cluster.node.known.filter((member) => primaryOf(cluster, member) === id);

function infoText(cluster: Cluster): string {
  const { node } = cluster;
  const assigned = SLOT_COUNT - node.slotsOf("").length;
  const failed = [...node.failed].reduce((sum, id) => sum + node.slotsOf(id).length, 0);
  const fields: readonly (readonly [string, string | number])[] = [
    ["cluster_state", node.isUp ? "ok" : "fail"],
    ["cluster_slots_assigned", assigned],
    ["cluster_slots_ok", assigned - failed],
    ["cluster_slots_pfail", 0],
    ["cluster_slots_fail", failed],
    ["cluster_known_nodes", node.known.length],
    ["cluster_size", node.known.filter(({ id }) => node.slotsOf(id).length > 0).length],
    ["cluster_current_epoch", currentEpoch(cluster)],
    ["cluster_my_epoch", configEpochOf(cluster, node.self)],
    ["cluster_stats_messages_sent", 0],
    ["cluster_stats_messages_received", 0],
    ["total_cluster_links_buffer_limit_exceeded", 0],
  ];
  return fields.map(([name, value]) => `${name}:${value}\r\n`).join("");
}

function endpoint(reply: ReplyWriter, { node }: Cluster, member: Member): void {
  const host = endpointOf(node, member);
  if (host === undefined) reply.null();
  else reply.bulk(host);
}

/** [endpoint, port, id, what else is known of where it is]. */
function slotsNode(client: Client, cluster: Cluster, member: Member): void {
  const { reply } = client;
  const type = client.store.parameters["cluster-preferred-endpoint-type"];
  const more: (readonly [string, string])[] = [];
  if (type !== "ip") more.push(["ip", member.host]);
  if (type !== "hostname" && member.hostname !== "") more.push(["hostname", member.hostname]);
  reply.array(4);
  endpoint(reply, cluster, member);
  reply.integer(portFor(client, member));
  reply.bulk(member.id);
  reply.map(more.length);
  for (const pair of more) for (const text of pair) reply.bulk(text);
}

function writeSlots(client: Client, cluster: Cluster): void {
  const { reply } = client;
  const { node } = cluster;
  const owned = node.known.flatMap((member) => slotRanges(cluster, member).map((range) => ({ ...range, member })));
  reply.array(owned.length);
  for (const { start, end, member } of owned.toSorted((a, b) => a.start - b.start)) {
    const replicas = replicasOf(cluster, member).filter(({ id }) => !node.failed.has(id));
    reply.array(3 + replicas.length);
    reply.integer(start);
    reply.integer(end);
    for (const each of [member, ...replicas]) slotsNode(client, cluster, each);
  }
}

function writeShards(client: Client, cluster: Cluster): void {
  const { reply } = client;
  const primaries = cluster.node.known.filter((member) => primaryOf(cluster, member) === "");
  reply.array(primaries.length);
  for (const primary of primaries) {
    const ranges = slotRanges(cluster, primary);
    const nodes = [primary, ...replicasOf(cluster, primary)];
    reply.map(2);
    reply.bulk("slots");
    reply.array(2 * ranges.length);
    for (const { start, end } of ranges) for (const slot of [start, end]) reply.integer(slot);
    reply.bulk("nodes");
    reply.array(nodes.length);
    for (const member of nodes) shardNode(client, cluster, member);
  }
}

function shardNode(client: Client, cluster: Cluster, member: Member): void {
  const { reply } = client;
  const { node } = cluster;
  const { id, host, port, tlsPort, hostname } = member;
  const isLoading =
    id === node.id ? node.store.loading !== undefined : offsetOf(cluster, member) === 0 && primaryOf(cluster, member) !== "";
  const fields: (readonly [string, string | number | undefined])[] = [
    ["id", id],
    ...(port === 0 ? [] : ([["port", port]] as const)),
    ...(tlsPort === 0 ? [] : ([["tls-port", tlsPort]] as const)),
    ["ip", host],
    ["endpoint", endpointOf(node, member)],
    ...(hostname === "" ? [] : ([["hostname", hostname]] as const)),
    ["role", primaryOf(cluster, member) === "" ? "master" : "replica"],
    ["replication-offset", offsetOf(cluster, member)],
    ["health", node.failed.has(id) ? "fail" : isLoading ? "loading" : "online"],
  ];
  reply.map(fields.length);
  for (const [name, value] of fields) {
    reply.bulk(name);
    if (typeof value === "number") reply.integer(value);
    else reply.bulkOrNull(value);
  }
}

const replicas = (name: "replicas" | "slaves", since: string): Command =>
  asks(
    name,
    3,
    "Replicas of a node.",
    ({ reply }, request, cluster) => {
      const member = memberAt(request, 2, cluster);
      if (primaryOf(cluster, member) !== "") throw new CommandError("ERR The specified node is not a master");
      reply.bulks(replicasOf(cluster, member).map((replica) => nodeLine(cluster, replica)));
    },
    since,
  );

const OF_KEYS = "ERR Invalid slot";

export const VIEWS: readonly Command[] = [
  asks(
    "count-failure-reports",
    3,
    "How many nodes say that a node is gone; here the register is asked alone.",
    ({ reply }, request, cluster) => {
      reply.integer(cluster.node.failed.has(memberAt(request, 2, cluster).id) ? 1 : 0);
    },
  ),
  asks("countkeysinslot", 3, "How many keys of a slot are here.", ({ reply, store }, request) => {
    const slot = integerAt(request, 2);
    if (slot < 0 || slot >= SLOT_COUNT) throw new CommandError(OF_KEYS);
    reply.integer(store.databases[0]!.slotCount(slot));
  }),
  asks("getkeysinslot", 4, "Some keys of a slot.", ({ reply, store }, request) => {
    const [slot, max] = [integerAt(request, 2), integerAt(request, 3)];
    if (slot < 0 || slot >= SLOT_COUNT || max < 0) throw new CommandError("ERR Invalid slot or number of keys");
    reply.bulks(keysOfSlot(store.databases[0]!, slot, max));
  }),
  asks("info", 2, "How the cluster does.", ({ reply }, _, cluster) => reply.verbatim(infoText(cluster))),
  asks("keyslot", 3, "The slot of a key.", ({ reply }, request) => reply.integer(slotOfKey(request.text(2)))),
  asks("links", 2, "Connections to other nodes: none, as all that is decided is in the register.", ({ reply }) => reply.array(0), "7.0.0"),
  asks("myid", 2, "This node's name.", ({ reply }, _, cluster) => reply.bulk(cluster.node.id)),
  asks("myshardid", 2, "The name of this node's shard.", ({ reply }, _, cluster) => reply.bulk(cluster.node.self.shard), "7.2.0"),
  asks("nodes", 2, "All nodes, one a line.", ({ reply }, _, cluster) => {
    reply.verbatim(cluster.node.known.map((member) => `${nodeLine(cluster, member)}\n`).join(""));
  }),
  replicas("replicas", "5.0.0"),
  asks("shards", 2, "Slots, and the nodes that have them.", (client, _, cluster) => writeShards(client, cluster), "7.0.0"),
  replicas("slaves", "3.0.0"),
  asks("slots", 2, "Ranges of slots, and where they are.", (client, _, cluster) => writeSlots(client, cluster)),
];
