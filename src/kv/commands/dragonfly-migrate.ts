import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError } from "../command-error.ts";
import { integerAt } from "../numbers.ts";
import type { ShownMigration } from "../slots/migration/migrations.ts";
import { rangesOf, rangesText, slotsIn } from "../slots/slot-text.ts";
import { migrationsOf } from "./cluster/slot-migration.ts";
import { clusterOf, orders } from "./cluster/subcommand.ts";
import type { Command } from "./command.ts";
import { rangesAt } from "./dragonfly-ranges.ts";

// What a node of DragonflyDB asks the node that its slots go to, as https://github.com/dragonflydb/dragonfly/blob/main/docs/cluster-mode.md documents it, §6. What it would send in a flow is not
// documented, so no flow begins; the other two tell how moves are that come here.

const subcommand = orders("dflymigrate");
const COUNT_MAX = 65_535;

/** Moves that come from a node, or have come; the latest last. */
const movesFrom = (client: Client, request: Request): readonly ShownMigration[] => {
  const source = request.text(2);
  return migrationsOf(client)
    .statuses()
    .filter(({ role, peer }) => role === "target" && peer === source);
};

const init = subcommand("init", -6, "Whether a move of these slots from a node is coming here.", (client, request) => {
  integerAt(request, 3, { min: 1, max: COUNT_MAX });
  const wanted = rangesText(rangesOf(slotsIn(rangesAt(request, 4))));
  const isKnown = movesFrom(client, request).some(
    ({ phase, ranges }) => phase !== "dropped" && rangesText(rangesOf(slotsIn(ranges))) === wanted,
  );
  if (!isKnown || clusterOf(client).node.isReplica) throw new CommandError("UNKNOWN_MIGRATION");
  const { parameters, usedBytes } = client.store;
  if (parameters.maxmemory > 0 && usedBytes > parameters.maxmemory) throw new CommandError("INCOMING_MIGRATION_OOM");
  client.reply.ok();
});

const flow = subcommand("flow", 4, "Refused: moves have connections of their own.", (client, request) => {
  integerAt(request, 3, { min: 0, max: COUNT_MAX });
  if (movesFrom(client, request).length === 0) throw new CommandError("UNKNOWN_MIGRATION");
  throw new CommandError(
    "ERR DFLYMIGRATE FLOW is not taken: between nodes of Anax, CLUSTER MIGRATESLOTS moves slots; from DragonflyDB, an RDB file or REPLICAOF",
  );
});

const ack = subcommand("ack", 4, "The attempt by which the last move from a node was finished; 0: none was.", (client, request) => {
  integerAt(request, 3, { min: 0, max: Number.MAX_SAFE_INTEGER });
  const moves = movesFrom(client, request);
  if (moves.length === 0) throw new CommandError("UNKNOWN_MIGRATION");
  const last = moves.at(-1)!; // just counted
  client.reply.integer(last.phase === "finished" ? last.attempt : 0);
});

export const DFLYMIGRATE: Command = {
  name: "dflymigrate",
  arity: -2,
  flags: [],
  group: "cluster",
  summary: "How moves of slots are that come here, as nodes of DragonflyDB ask each other.",
  since: "7.0.0",
  subcommands: [ack, flow, init],
};
