import { CommandError } from "../command-error.ts";
import type { Command } from "./command.ts";
import { helpOf } from "./help.ts";

/** As long as there is one server only, each of these is refused. */
const NAMES = [
  "addslots",
  "addslotsrange",
  "bumpepoch",
  "count-failure-reports",
  "countkeysinslot",
  "delslots",
  "delslotsrange",
  "failover",
  "flushslots",
  "forget",
  "getkeysinslot",
  "info",
  "keyslot",
  "links",
  "meet",
  "myid",
  "myshardid",
  "nodes",
  "replicas",
  "replicate",
  "reset",
  "saveconfig",
  "set-config-epoch",
  "setslot",
  "shards",
  "slaves",
  "slots",
];

const refused = (name: string): Command => ({
  name,
  arity: -2,
  flags: name === "cluster|reset" ? ["admin", "stale", "noscript"] : ["admin", "stale"],
  group: "cluster",
  summary: "Not while there is one server only.",
  since: "3.0.0",
  run() {
    throw new CommandError("ERR This instance has cluster support disabled");
  },
});

const CLUSTER: Command = {
  name: "cluster",
  arity: -2,
  flags: [],
  group: "cluster",
  summary: "Servers that share the keys.",
  since: "3.0.0",
  subcommands: [...NAMES.map((name) => refused(`cluster|${name}`)), helpOf("cluster", "cluster", "5.0.0", [])],
};

const connectionMode = (name: "asking" | "readonly" | "readwrite"): Command => ({
  ...refused(name),
  arity: 1,
  flags: ["fast", "loading", "stale"],
});

export const CLUSTER_COMMANDS: readonly Command[] = [
  CLUSTER,
  connectionMode("asking"),
  connectionMode("readonly"),
  connectionMode("readwrite"),
];
