import { AnaxError } from "../../../base/errors.ts";
import type { Request } from "../../../wire/resp/request.ts";
import type { Client } from "../../clients/client.ts";
import { CommandError, syntaxError } from "../../command-error.ts";
import { integerAt } from "../../numbers.ts";
import type { Migrations, ShownMigration } from "../../slots/migration/migrations.ts";
import type { SlotRange } from "../../slots/slot-map.ts";
import { SLOT_COUNT } from "../../keyspace/key-slot.ts";
import type { Command } from "../command.ts";
import { orders } from "./subcommand.ts";

export function migrationsOf({ store: { migrations } }: Client): Migrations {
  if (migrations === undefined) throw new CommandError("ERR This instance has cluster support disabled");
  return migrations;
}

const subcommand = orders("cluster");

/** `SLOTSRANGE 0 5 7 9 NODE id`, once or more often. */
function movesIn(request: Request): readonly { readonly ranges: readonly SlotRange[]; readonly to: string }[] {
  const moves: { ranges: SlotRange[]; to: string }[] = [];
  let at = 2;
  while (at < request.count) {
    if (request.word(at) !== "slotsrange") throw syntaxError();
    const ranges: SlotRange[] = [];
    for (at++; at < request.count && request.word(at) !== "node"; at += 2) {
      if (at + 1 >= request.count) throw syntaxError();
      const slot = { min: 0, max: SLOT_COUNT - 1 };
      const [start, end] = [integerAt(request, at, slot), integerAt(request, at + 1, slot)];
      if (start > end) throw new CommandError(`ERR Start slot number ${start} is greater than end slot number ${end}`);
      ranges.push({ start, end });
    }
    if (ranges.length === 0 || at + 1 >= request.count) throw syntaxError();
    moves.push({ ranges, to: request.text(at + 1) });
    at += 2;
  }
  return moves;
}

const migrateSlots = subcommand("migrateslots", -7, "Moves slots of this node to others while clients write.", (client, request) => {
  migrationsOf(client).moveAll(movesIn(request));
  client.reply.ok();
});

const cancelMigrations = subcommand("cancelslotmigrations", -2, "Ends moves of slots: all, or those named.", (client, request) => {
  const migrations = migrationsOf(client);
  const jobs = request.count === 2 ? [undefined] : request.texts(2);
  let count = 0;
  for (const job of jobs) count += migrations.cancel(job);
  if (count === 0 && request.count > 2) throw new CommandError("ERR No such migration is under way");
  client.reply.ok();
});

/** Fields of Valkey 9 first, then those that it does not have. */
function fieldsOf(shown: ShownMigration, self: string): readonly (readonly [string, string | number])[] {
  const exports = shown.role === "source";
  return [
    ["name", shown.job],
    ["operation", exports ? "EXPORT" : "IMPORT"],
    ["slot_ranges", shown.ranges.map(({ start, end }) => `${start}-${end}`).join(" ")],
    ["source_node", exports ? self : shown.peer],
    ["target_node", exports ? shown.peer : self],
    ["create_time", Math.floor(shown.createdMs / 1000)],
    ["last_update_time", Math.floor(shown.updatedMs / 1000)],
    ["last_ack_time", Math.floor(shown.updatedMs / 1000)],
    ["state", STATES[shown.phase] ?? shown.phase],
    ["message", shown.lastError ?? ""],
    ["cow_size", 0],
    ["remaining_repl_size", shown.lagBytes],
    ["phase", shown.phase],
    ["attempt", shown.attempt],
    ["keys", shown.keys],
    ["keys_total", shown.keysTotal],
    ["bytes", shown.bytes],
    ["paused_ms", Math.round(shown.pausedMs)],
    ["pause_max_ms", Math.round(shown.pauseMaxMs)],
    ["fences", shown.fences],
    ["deadline_in_ms", shown.deadlineInMs === undefined ? -1 : Math.round(shown.deadlineInMs)],
    ["waiting_for", shown.waitingFor ?? ""],
  ];
}

/** Names of Valkey's states, where there is one that means the same. */
const STATES: Readonly<Record<string, string>> = {
  preparing: "connecting",
  recording: "connecting",
  copying: "snapshotting",
  following: "replicating",
  fencing: "failover-paused",
  confirming: "failover-paused",
  deciding: "failover-granted",
  resting: "connecting",
  finished: "success",
  accepting: "waiting-for-paused",
  staging: "receiving-snapshot",
  syncing: "waiting-for-paused",
  confirmed: "failover-requested",
  refusing: "failover-requested",
  promoting: "failover-granted",
  dropped: "failed",
};

const getMigrations = subcommand("getslotmigrations", 2, "Moves of slots from and to this node, the latest first.", (client) => {
  const migrations = migrationsOf(client);
  const { reply } = client;
  const all = migrations.statuses().toReversed();
  reply.array(all.length);
  for (const shown of all) {
    const fields = fieldsOf(shown, migrations.self);
    reply.map(fields.length);
    for (const [name, value] of fields) {
      reply.bulk(name);
      if (typeof value === "number") reply.integer(value);
      else reply.bulk(value);
    }
  }
});

const link = subcommand(
  "migrationlink",
  4,
  "Makes a connection the way of a move of slots: docs/formats/slot-migration.md.",
  (client, request) => {
    migrationsOf(client).link(client, request.text(2));
    client.reply.ok();
  },
);

const frame = subcommand("migrationframe", 3, "What the other side of a move of slots says; answered by nothing.", (client, request) => {
  try {
    migrationsOf(client).received(request.slice(2), client);
  } catch (thrown) {
    if (!(thrown instanceof AnaxError)) throw thrown;
    client.closing = true;
    throw new CommandError(`ERR ${thrown.message}`);
  }
});

export const SLOT_MIGRATION: readonly Command[] = [cancelMigrations, frame, getMigrations, link, migrateSlots];

export const SLOT_MIGRATION_HELP: readonly string[] = [
  "CANCELSLOTMIGRATIONS [<name> ...]",
  "    End moves of slots, as long as they are not decided.",
  "GETSLOTMIGRATIONS",
  "    Tell moves of slots from and to this node.",
  "MIGRATESLOTS SLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...] NODE <node-id> [SLOTSRANGE ... NODE ...]",
  "    Move slots to other nodes while clients write.",
];
