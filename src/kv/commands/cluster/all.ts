import type { Client } from "../../clients/client.ts";
import type { Command } from "../command.ts";
import { helpOf } from "../help.ts";
import { MEMBERSHIP } from "./membership.ts";
import { REBALANCE, REBALANCE_HELP } from "./rebalance.ts";
import { SLOT_MIGRATION, SLOT_MIGRATION_HELP } from "./slot-migration.ts";
import { SLOTS } from "./slots.ts";
import { clusterOf } from "./subcommand.ts";
import { VIEWS } from "./views.ts";

const help = helpOf("cluster", "cluster", "5.0.0", [
  "ADDSLOTS <slot> [<slot> ...]",
  "    Give slots of nobody to this node.",
  "ADDSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]",
  "    Give ranges of slots of nobody to this node.",
  "BUMPEPOCH",
  "    Give this node's slots the highest epoch.",
  "COUNT-FAILURE-REPORTS <node-id>",
  "    Tell whether a node is gone.",
  "COUNTKEYSINSLOT <slot>",
  "    Tell how many keys of a slot are here.",
  "DELSLOTS <slot> [<slot> ...]",
  "    Take slots from this node.",
  "DELSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]",
  "    Take ranges of slots from this node.",
  "FAILOVER [FORCE|TAKEOVER]",
  "    Make this replica the primary of its shard.",
  "FLUSHSLOTS",
  "    Take all slots from this node.",
  "FORGET <node-id>",
  "    Remove a node from the cluster.",
  "GETKEYSINSLOT <slot> <count>",
  "    Tell some keys of a slot.",
  "INFO",
  "    Tell how the cluster does.",
  "KEYSLOT <key>",
  "    Tell the slot of a key.",
  "LINKS",
  "    Tell connections to other nodes: none.",
  "MEET <ip> <port> [<bus-port>]",
  "    Make the cluster of that node and this one's one.",
  "MYID",
  "    Tell this node's name.",
  "MYSHARDID",
  "    Tell the name of this node's shard.",
  "NODES",
  "    Tell all nodes, one a line.",
  "REPLICAS <node-id>",
  "    Tell the replicas of a node.",
  "REPLICATE <node-id>",
  "    Make this node a replica.",
  "RESET [HARD|SOFT]",
  "    Have this node leave the cluster.",
  "SAVECONFIG",
  "    Write the node's file.",
  "SET-CONFIG-EPOCH <epoch>",
  "    Set the epoch of a node that is new.",
  "SETSLOT <slot> (IMPORTING <node-id>|MIGRATING <node-id>|STABLE|NODE <node-id>)",
  "    Say what happens with a slot on its way.",
  "SHARDS",
  "    Tell slots and the nodes that have them.",
  "SLOTS",
  "    Tell ranges of slots and where they are.",
  ...SLOT_MIGRATION_HELP,
  ...REBALANCE_HELP,
]);

const CLUSTER: Command = {
  name: "cluster",
  arity: -2,
  flags: [],
  group: "cluster",
  summary: "Servers that share the keys.",
  since: "3.0.0",
  subcommands: [...VIEWS, ...SLOTS, ...MEMBERSHIP, ...SLOT_MIGRATION, ...REBALANCE, help],
};

const mode = (name: "asking" | "readonly" | "readwrite", summary: string, set: (client: Client) => void): Command => ({
  name,
  arity: 1,
  flags: name === "asking" ? ["fast"] : ["fast", "loading", "stale"],
  group: "cluster",
  summary,
  since: "3.0.0",
  run(client) {
    clusterOf(client);
    set(client);
    client.reply.ok();
  },
});

export const CLUSTER_COMMANDS: readonly Command[] = [
  CLUSTER,
  mode("asking", "The next command is for a slot that is on its way here.", (client) => (client.asking = "next")),
  mode("readonly", "Lets a replica answer what it has.", (client) => (client.readsReplica = true)),
  mode("readwrite", "Has a replica send readers to its primary.", (client) => (client.readsReplica = false)),
];
