import { AnaxError } from "../../base/errors.ts";
import { dropSlots } from "../slots/drop-slots.ts";
import { Migrations } from "../slots/migration/migrations.ts";
import type { ClusterSide } from "../slots/migration/side.ts";
import { MIGRATION_LIMITS, type MigrationLimits } from "../slots/migration/types.ts";
import { rangesOf, rangesText, slotsIn } from "../slots/slot-text.ts";
import type { ClusterNode } from "./cluster-node.ts";
import type { ClusterKeeper } from "./keeper.ts";
import type { Cluster } from "./start-cluster.ts";
import { tellHolding } from "./tell-holding.ts";

/** Begins what moves slots from and to this node; to be called once all data is read, before the node has its place. Throws `disk.*`, `migration.malformed`. */
export async function openSlotMoves({ node, keeper }: Cluster): Promise<Migrations> {
  const { store, log } = node;
  const { parameters } = store;
  const limits = (): MigrationLimits => ({
    ...MIGRATION_LIMITS,
    pauseMs: parameters["cluster-slot-migration-write-pause-timeout"],
    handoverLagBytes: parameters["cluster-slot-migration-handoff-max-lag-bytes"],
  });
  const migrations = await Migrations.open(store, sideOf(node, keeper), { log, limits });
  node.usesEpochs.add(() => migrations.active);
  node.onSettled.add(() => {
    tellHolding(node);
    dropStrays(node, migrations);
  });
  node.beforeClaim.add(async () => {
    const { clock } = store;
    using deadline = clock.deadline(keeper.lengthMs);
    await migrations.resolved(deadline.signal).catch((cause: unknown) => {
      throw new AnaxError("limit.exceeded", { slots: "those that have moved here are not in place yet" }, { cause });
    });
    dropLeftovers(node, migrations);
  });
  return migrations;
}

const sideOf = (node: ClusterNode, keeper: ClusterKeeper): ClusterSide => ({
  get id() {
    return node.id;
  },
  get map() {
    return node.map;
  },
  get isReplica() {
    return node.isReplica;
  },
  get hasPlace() {
    return node.members.all.some(({ id }) => id === node.id);
  },
  register: node.register,
  ownerOf: (slot) => node.ownerOf(slot),
  isImporting: (slot) => node.importing.has(slot),
  follows: (id) => (node.member(id)?.primary ?? "") !== "" && node.slotsOf(id).length === 0,
  addressOf(id) {
    const member = node.member(id);
    if (member === undefined) return undefined;
    const secure = node.store.parameters["tls-replication"] && member.tlsPort !== 0;
    return { host: member.host, port: secure ? member.tlsPort : member.port };
  },
  learnMap(map) {
    const { epoch } = node.map;
    node.learnMap(map);
    if (node.map.epoch > epoch) void keeper.tellNews();
  },
  setFences: (fences) => node.setFences(fences),
  setArriving: (arrivals) => node.setArriving(arrivals),
});

/** Keys of slots that a job of this node has given away before it ended: the map that was just read says so. A replica has them from its primary. */
function dropLeftovers(node: ClusterNode, migrations: Migrations): void {
  const isGiven = (by: string): boolean => migrations.gave(by.split("/", 1)[0]!);
  const gone = node.map.ranges.filter(({ owner, by }) => owner !== node.id && isGiven(by));
  if (!node.isReplica)
    dropSlots(
      node.store,
      slotsIn(gone).filter((slot) => !node.importing.has(slot)),
    );
}

/**
 * Keys of slots whose owner is another that lives, however they have come to be left here: after a crash, or because a replica has taken the slots. Of an owner that is gone they may
 * be the last copy; what a move has under way is its own to see to; and a replica has them from its primary. Not those that a replica of this node has just got: it would be told to drop
 * them, too, as long as it follows; and this node soon follows it. Nor those of slots that this node never had: somebody has loaded them.
 */
export function dropStrays(node: ClusterNode, migrations: Pick<Migrations, "isBusy">): void {
  const { store, map, importing, id } = node;
  const db = store.databases[0]!;
  const isOver = store.clock.nowMs() >= node.servesUntilMs; // then it may be a replica by now
  if (isOver || node.isReplica || store.replication?.link !== undefined || map.epoch === 0 || db.count === 0) return;
  const others = map.ranges.filter(({ owner }) => owner !== id && node.alive.has(owner) && node.member(owner)?.primary !== id);
  const isStray = (slot: number): boolean =>
    db.slotCount(slot) > 0 &&
    node.had[slot] === 1 &&
    !db.dropping.has(slot) &&
    !importing.has(slot) &&
    !migrations.isBusy([{ start: slot, end: slot }]);
  const strays = slotsIn(others).filter(isStray);
  if (strays.length === 0) return;
  node.log.warn("store.cluster-strays-dropped", {
    slots: rangesText(rangesOf(strays)),
    keys: strays.reduce((sum, slot) => sum + db.slotCount(slot), 0),
  });
  dropSlots(store, strays);
}
