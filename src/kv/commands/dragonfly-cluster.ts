import { z } from "zod";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { SLOT_COUNT } from "../keyspace/key-slot.ts";
import { integerAt } from "../numbers.ts";
import { dropSlotsNow } from "../slots/drop-slots.ts";
import type { ShownMigration } from "../slots/migration/migrations.ts";
import { rangesOf, rangesText, slotsIn } from "../slots/slot-text.ts";
import type { SlotRange } from "../slots/slot-map.ts";
import { REPLICATE } from "../replicate.ts";
import { migrationsOf } from "./cluster/slot-migration.ts";
import { clusterOf, orders } from "./cluster/subcommand.ts";
import type { Command } from "./command.ts";

// What tools written for DragonflyDB ask (https://github.com/dragonflydb/dragonfly/blob/main/docs/cluster-mode.md): who owns slots is the register's to decide here, so CONFIG moves, and decides nothing.

const slot = z
  .int()
  .min(0)
  .max(SLOT_COUNT - 1);
const Ranges = z.array(z.object({ start: slot, end: slot })).max(SLOT_COUNT);
const Config = z
  .array(
    z.object({
      slot_ranges: Ranges,
      master: z.object({ id: z.string() }),
      migrations: z
        .array(z.object({ node_id: z.string(), slot_ranges: Ranges }))
        .max(1024)
        .default([]),
    }),
  )
  .max(1024);

const subcommand = orders("dflycluster");

/** Of slots that are this node's by the register: moves that are listed begin, others end. */
const config = subcommand("config", 3, "Moves slots as a configuration in JSON says.", (client, request) => {
  const { node } = clusterOf(client);
  const migrations = migrationsOf(client);
  const parsed = Config.safeParse(jsonOf(request.text(2)));
  if (!parsed.success) throw new CommandError("ERR Invalid cluster configuration.");
  const own = parsed.data.find(({ master }) => master.id === node.id);
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

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const getSlotInfo = subcommand("getslotinfo", -4, "Keys and bytes of slots.", (client, request) => {
  if (request.word(2) !== "slots") throw syntaxError();
  clusterOf(client);
  const db = client.store.databases[0]!; // a cluster has one
  const slots = slotsAt(request.texts(3));
  client.reply.array(slots.length);
  for (const one of slots) {
    let bytes = 0;
    let cursor = 0;
    do cursor = db.scanSlot(one, cursor, (address) => (bytes += db.bytesOf(address)));
    while (cursor !== 0);
    client.reply.array(5);
    client.reply.integer(one);
    client.reply.bulk("key_count");
    client.reply.integer(db.slotCount(one));
    client.reply.bulk("memory_bytes");
    client.reply.integer(bytes);
  }
});

function slotsAt(texts: readonly string[]): readonly number[] {
  return texts.map((text) => {
    const one = /^\d{1,5}$/.test(text) ? Number(text) : SLOT_COUNT;
    if (one >= SLOT_COUNT) throw new CommandError("ERR Invalid slot id");
    return one;
  });
}

const flushSlots = subcommand("flushslots", -4, "Removes all keys of ranges of slots: start, end, start, end, …", (client, request) => {
  clusterOf(client);
  if (request.count % 2 !== 0) throw syntaxError();
  const bound = { min: 0, max: SLOT_COUNT - 1 };
  const ranges: SlotRange[] = [];
  for (let at = 2; at < request.count; at += 2)
    ranges.push({ start: integerAt(request, at, bound), end: integerAt(request, at + 1, bound) });
  if (migrationsOf(client).isBusy(ranges)) throw new CommandError("ERR Some of these slots are being moved");
  const slots = slotsIn(ranges);
  dropSlotsNow(client.store, slots);
  client.store.propagateParts(client.db, ["ANAX.DROPSLOTS", ...rangesText(rangesOf(slots)).split(" ")], REPLICATE.all);
  client.propagateAs();
  client.reply.ok();
});

const status = subcommand("slot-migration-status", -2, "How moves of slots are, of all nodes or with one.", (client, request) => {
  const peer = request.count > 2 ? request.text(2) : undefined;
  const shown = migrationsOf(client)
    .statuses()
    .filter((one) => peer === undefined || one.peer === peer);
  client.reply.array(shown.length);
  for (const one of shown) replyRow(client, one);
});

function replyRow({ reply }: Client, { role, peer, phase, keys, lastError, ranges }: ShownMigration): void {
  reply.array(6);
  reply.bulk(role === "source" ? "out" : "in");
  reply.bulk(peer);
  reply.bulk(STATES[phase] ?? "SYNC");
  reply.integer(keys);
  reply.bulk(lastError ?? "0");
  reply.bulk(rangesText(ranges));
}

const STATES: Readonly<Record<string, string>> = {
  preparing: "CONNECTING",
  recording: "CONNECTING",
  connecting: "CONNECTING",
  accepting: "CONNECTING",
  resting: "ERROR",
  finished: "FINISHED",
  cancelled: "FINISHED",
  failed: "FATAL",
  dropped: "ERROR",
};

const myId = subcommand("myid", 2, "This node's name.", (client) => client.reply.bulk(clusterOf(client).node.id));

export const DRAGONFLY_COMMANDS: readonly Command[] = [
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
