import type { Request } from "../../../wire/resp/request.ts";
import type { Client } from "../../clients/client.ts";
import type { Cluster } from "../../cluster/start-cluster.ts";
import { CommandError, wrongArity } from "../../command-error.ts";
import { finishDrops } from "../../slots/drop-slots.ts";
import type { Command } from "../command.ts";
import { migrationsOf } from "./slot-migration.ts";
import { configEpochOf, primaryOf } from "./node-text.ts";
import { answerLater, answerOk, changes, memberAt, slotAt } from "./subcommand.ts";

/** Each at most once. */
function distinct(slots: readonly number[]): readonly number[] {
  const seen = new Set<number>();
  for (const slot of slots) {
    if (seen.has(slot)) throw new CommandError(`ERR Slot ${slot} specified multiple times`);
    seen.add(slot);
  }
  return slots;
}

const listed = (request: Request): readonly number[] =>
  distinct(Array.from({ length: request.count - 2 }, (_, n) => slotAt(request, n + 2)));

function ranged(request: Request, name: string): readonly number[] {
  if (request.count % 2 === 1) throw wrongArity(name);
  const slots: number[] = [];
  for (let i = 2; i < request.count; i += 2) {
    const [start, end] = [slotAt(request, i), slotAt(request, i + 1)];
    if (start > end) throw new CommandError(`ERR start slot number ${start} is greater than end slot number ${end}`);
    for (let slot = start; slot <= end; slot++) slots.push(slot);
  }
  return distinct(slots);
}

/** Slots of nobody become this node's. */
function add(client: Client, { node, changes: to }: Cluster, slots: readonly number[]): void {
  for (const slot of slots) if (node.ownerOf(slot) !== "" && client.mayBlock) throw new CommandError(`ERR Slot ${slot} is already busy`);
  answerOk(client, to.add(slots)); // what it imported of them it owns then
}

/** This node's slots become nobody's. */
function release(client: Client, { node, changes: to }: Cluster, slots: readonly number[]): void {
  for (const slot of slots) if (node.ownerOf(slot) === "") throw new CommandError(`ERR Slot ${slot} is already unassigned`);
  answerOk(client, to.release(slots));
}

function setSlot(client: Client, request: Request, cluster: Cluster): void {
  const { node } = cluster;
  // redis-cli knows this text: who has given its last slot away may be a replica by now.
  if (node.isReplica) throw new CommandError("ERR Please use SETSLOT only with masters.");
  const slot = slotAt(request, 2);
  const action = request.word(3);
  const isMine = node.ownerOf(slot) === node.id;
  const other = (error?: string): string => {
    const member = memberAt(request, 4, cluster, error);
    if (primaryOf(cluster, member) !== "") throw new CommandError("ERR Target node is not a master");
    return member.id;
  };
  if (action === "stable" && request.count === 4) {
    // What has come here is nowhere else, and keys of another's slots do not stay.
    if (node.importing.has(slot) && node.ownerOf(slot) !== "" && client.db.slotCount(slot) > 0)
      throw new CommandError(`ERR Keys of hash slot ${slot} have been imported: move them back first, or assign it with SETSLOT NODE`);
    node.migrating.delete(slot);
    node.importing.delete(slot);
  } else if (action === "migrating" && request.count === 5) {
    if (!isMine) throw new CommandError(`ERR I'm not the owner of hash slot ${slot}`);
    node.migrating.set(slot, other("ERR I don't know about node"));
  } else if (action === "importing" && request.count === 5) {
    if (isMine) throw new CommandError(`ERR I'm already the owner of hash slot ${slot}`);
    const from = other("ERR I don't know about node");
    if (migrationsOf(client).isBusy([{ start: slot, end: slot }])) throw new CommandError(`ERR Hash slot ${slot} is being moved`);
    finishDrops(client.store, [slot]); // what it had when it was this node's
    client.propagateAs(); // of that they were told; the rest is this node's own
    node.importing.set(slot, from);
  } else if (action === "node" && request.count === 5) {
    const to = other();
    if (isMine && to !== node.id && client.db.slotCount(slot) > 0)
      throw new CommandError(`ERR Can't assign hashslot ${slot} to a different node while I still hold keys for this hash slot.`);
    return answerOk(
      client,
      cluster.changes.assign(slot, to).then(() => {
        if (to === node.id) node.importing.delete(slot);
        return opened(cluster);
      }),
    );
  } else throw new CommandError("ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP");
  answerOk(client, opened(cluster));
}

/** Commands go by it now, and it survives a restart. */
function opened({ node }: Cluster): Promise<void> {
  node.settle();
  return node.persist();
}

export const SLOTS: readonly Command[] = [
  changes("addslots", -3, "Gives slots of nobody to this node.", (client, request, cluster) => add(client, cluster, listed(request))),
  changes(
    "addslotsrange",
    -4,
    "Gives ranges of slots of nobody to this node.",
    (client, request, cluster) => add(client, cluster, ranged(request, "cluster|addslotsrange")),
    "7.0.0",
  ),
  changes("bumpepoch", 2, "Gives this node's slots the highest epoch.", (client, _, cluster) => {
    const { node } = cluster;
    const epoch = configEpochOf(cluster, node.self);
    const isHighest = node.map.epoch > 0 && node.known.every((member) => member.id === node.id || configEpochOf(cluster, member) < epoch);
    if (isHighest && client.mayBlock) return client.reply.simple(`STILL ${epoch}`);
    answerLater(client, cluster.changes.bump(), (bumped) => client.reply.simple(`BUMPED ${bumped}`));
  }),
  changes("delslots", -3, "Takes slots from this node; nobody has them then.", (client, request, cluster) =>
    release(client, cluster, listed(request)),
  ),
  changes(
    "delslotsrange",
    -4,
    "Takes ranges of slots from this node.",
    (client, request, cluster) => release(client, cluster, ranged(request, "cluster|delslotsrange")),
    "7.0.0",
  ),
  changes("flushslots", 2, "Takes all slots from this node.", (client, _, { node, changes: to }) => {
    if (client.db.count > 0) throw new CommandError("ERR DB must be empty to perform CLUSTER FLUSHSLOTS.");
    answerOk(client, to.release(node.slotsOf(node.id)));
  }),
  changes("setslot", -4, "Says what happens with a slot on its way from node to node.", setSlot),
];
