import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { dropSlotsNow } from "../slots/drop-slots.ts";
import type { ShownMigration } from "../slots/migration/migrations.ts";
import { parseRange, rangesOf, rangesText, slotsIn } from "../slots/slot-text.ts";
import type { SlotRange } from "../slots/slot-map.ts";
import { REPLICATE } from "../replicate.ts";
import { migrationsOf } from "./cluster/slot-migration.ts";
import { clusterOf, orders } from "./cluster/subcommand.ts";
import type { Command } from "./command.ts";
import { parseDragonflyConfig } from "./dragonfly-config.ts";
import { DFLYMIGRATE } from "./dragonfly-migrate.ts";
import { notMore, rangesAt } from "./dragonfly-ranges.ts";

// What tools written for DragonflyDB ask (https://github.com/dragonflydb/dragonfly/blob/main/docs/cluster-mode.md): who owns slots is the register's to decide here, so CONFIG moves, and decides nothing.

const subcommand = orders("dflycluster");

/** Of slots that are this node's by the register: moves that are listed begin, others end. */
const config = subcommand("config", 3, "Moves slots as a configuration in JSON says.", (client, request) => {
  const { node } = clusterOf(client);
  const migrations = migrationsOf(client);
  const shards = parseDragonflyConfig(request.text(2));
  if (shards === undefined) throw new CommandError("ERR Invalid cluster configuration.");
  const own = shards.find(({ master }) => master.id === node.id);
  const foreign = slotsIn(own?.slot_ranges ?? []).find((one) => node.ownerOf(one) !== node.id);
  if (foreign !== undefined) throw new CommandError(`ERR Slot ${foreign} is not this node's by the register`);
  const wanted = own?.migrations ?? [];
  const asked = new Set(wanted.map(({ node_id: to, slot_ranges: ranges }) => textOf(to, ranges)));
  const running = migrations.statuses().filter(({ role, deadlineInMs }) => role === "source" && deadlineInMs !== undefined);
  for (const { job, peer, ranges } of running) if (!asked.has(textOf(peer, ranges))) migrations.cancel(job);
  const known = new Set(running.map(({ peer, ranges }) => textOf(peer, ranges)));
  migrations.moveAll(
    wanted.filter((one) => !known.has(textOf(one.node_id, one.slot_ranges))).map((one) => ({ ranges: one.slot_ranges, to: one.node_id })),
  );
  client.reply.ok();
});

const textOf = (to: string, ranges: readonly SlotRange[]): string => `${to} ${rangesText(rangesOf(slotsIn(ranges)))}`;

const getSlotInfo = subcommand("getslotinfo", -4, "Keys, reads, writes and bytes of slots.", (client, request) => {
  if (request.word(2) !== "slots") throw syntaxError();
  const { node } = clusterOf(client);
  const db = client.store.databases[0]!; // a cluster has one
  const slots = slotsAt(request.texts(3));
  client.reply.array(slots.length);
  for (const one of slots) {
    let bytes = 0;
    let cursor = 0;
    do cursor = db.scanSlot(one, cursor, (address) => (bytes += db.bytesOf(address)));
    while (cursor !== 0);
    client.reply.array(9);
    client.reply.integer(one);
    client.reply.bulk("key_count");
    client.reply.integer(db.slotCount(one));
    client.reply.bulk("total_reads");
    client.reply.integer(node.reads[one]!); // there is one for each slot
    client.reply.bulk("total_writes");
    client.reply.integer(node.writes[one]!); // as above
    client.reply.bulk("memory_bytes");
    client.reply.integer(bytes);
  }
});

/** `1` or `5-9`. */
function slotsAt(texts: readonly string[]): readonly number[] {
  const ranges = texts.map((text) => {
    const range = parseRange(text);
    if (range === undefined) throw new CommandError("ERR Invalid slot id");
    return range;
  });
  return slotsIn(notMore(ranges));
}

const flushSlots = subcommand("flushslots", -4, "Removes all keys of ranges of slots: start, end, start, end, …", (client, request) => {
  clusterOf(client);
  const ranges = rangesAt(request, 2);
  if (migrationsOf(client).isBusy(ranges)) throw new CommandError("ERR Some of these slots are being moved");
  const slots = slotsIn(ranges);
  dropSlotsNow(client.store, slots);
  client.store.propagateParts(client.db, ["ANAX.DROPSLOTS", ...rangesText(rangesOf(slots)).split(" ")], REPLICATE.all);
  client.propagateAs();
  client.reply.ok();
});

const status = subcommand("slot-migration-status", -2, "How moves of slots are, of all nodes or with one.", (client, request) => {
  const peer = request.count > 2 ? request.text(2) : undefined;
  const shown = current(migrationsOf(client).statuses()).filter((one) => peer === undefined || one.peer === peer);
  client.reply.array(shown.length);
  for (const one of shown) replyRow(client, one);
});

/** Those that are under way, else the last one with each node in each direction: there a configuration has one, until the next takes it away. Nor does it have one that somebody has ended. */
const current = (all: readonly ShownMigration[]): readonly ShownMigration[] =>
  all.filter(
    (one, at) =>
      isOpen(one) || (one.phase !== "cancelled" && !all.some((other, place) => isBetweenSame(one, other) && (isOpen(other) || place > at))),
  );

const isBetweenSame = (a: ShownMigration, b: ShownMigration): boolean => a.role === b.role && a.peer === b.peer;

const isOpen = ({ deadlineInMs }: ShownMigration): boolean => deadlineInMs !== undefined;

function replyRow({ reply }: Client, shown: ShownMigration): void {
  const { role, peer, phase, keys, keysTotal, lastError, ranges } = shown;
  reply.array(6);
  reply.bulk(role === "source" ? "out" : "in");
  reply.bulk(peer);
  reply.bulk(STATES[phase] ?? "SYNC");
  reply.integer(role === "source" && isOpen(shown) ? keysTotal : keys);
  reply.bulk(lastError ?? "0");
  reply.bulk(`[${ranges.map(({ start, end }) => `${start}, ${end}`).join("], [")}]`);
}

const STATES: Readonly<Record<string, string>> = {
  preparing: "CONNECTING",
  recording: "CONNECTING",
  connecting: "CONNECTING",
  accepting: "CONNECTING",
  resting: "ERROR",
  finished: "FINISHED",
  failed: "FATAL",
  dropped: "ERROR",
};

const myId = subcommand("myid", 2, "This node's name.", (client) => client.reply.bulk(clusterOf(client).node.id));

export const DRAGONFLY_COMMANDS: readonly Command[] = [
  DFLYMIGRATE,
  {
    name: "dflycluster",
    arity: -2,
    flags: [],
    group: "cluster",
    summary: "Moves of slots, as tools for DragonflyDB ask for them.",
    since: "7.0.0",
    subcommands: [config, flushSlots, getSlotInfo, myId, status],
  },
];
