import { z } from "zod";
import { SLOT_COUNT } from "../keyspace/key-slot.ts";
import { countIn, slotsIn } from "../slots/slot-text.ts";

// As https://github.com/dragonflydb/dragonfly/blob/main/docs/cluster-mode.md documents it, §4.1 and §4.2.

const SHARDS_MAX = 1024;
const slot = z
  .int()
  .min(0)
  .max(SLOT_COUNT - 1);
const Ranges = z.array(z.object({ start: slot, end: slot }).refine(({ start, end }) => start <= end)).max(SLOT_COUNT);
const isMore = (ranges: DragonflyConfig[number]["slot_ranges"]): boolean => countIn(ranges) > SLOT_COUNT;
const port = z.int().min(0).max(65_535);
const Node = z.object({ id: z.string(), ip: z.string(), port, health: z.enum(["online", "loading", "fail", "hidden"]).default("online") });
const Config = z
  .array(
    z.object({
      slot_ranges: Ranges,
      master: Node,
      replicas: z.array(Node).max(SHARDS_MAX),
      migrations: z
        .array(z.object({ node_id: z.string(), ip: z.string(), port, slot_ranges: Ranges.min(1) }))
        .max(SHARDS_MAX)
        .default([]),
    }),
  )
  .max(SHARDS_MAX);

export type DragonflyConfig = z.infer<typeof Config>;

/** Undefined: DragonflyDB would not take it. */
export function parseDragonflyConfig(text: string): DragonflyConfig | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = Config.safeParse(value);
  return parsed.success && isWhole(parsed.data) ? parsed.data : undefined;
}

function isWhole(shards: DragonflyConfig): boolean {
  // Before they are listed one by one.
  if (isMore(shards.flatMap((shard) => shard.slot_ranges))) return false;
  if (shards.some(({ migrations }) => isMore(migrations.flatMap((one) => one.slot_ranges)))) return false;
  const slots = shards.flatMap((shard) => slotsIn(shard.slot_ranges));
  const masters = shards.map(({ master }) => master.id);
  return (
    slots.length === SLOT_COUNT &&
    isDistinct(slots) &&
    isDistinct(masters) &&
    shards.every(
      ({ master, replicas, slot_ranges: own, migrations }) =>
        isDistinct(replicas.map(({ id }) => id)) &&
        isDistinct(migrations.map(({ node_id: to }) => to)) &&
        migrations.every(({ node_id: to }) => to !== master.id && masters.includes(to)) &&
        isPart(
          migrations.flatMap((one) => slotsIn(one.slot_ranges)),
          slotsIn(own),
        ),
    )
  );
}

const isDistinct = (items: readonly unknown[]): boolean => new Set(items).size === items.length;

function isPart(slots: readonly number[], of: readonly number[]): boolean {
  const all = new Set(of);
  return isDistinct(slots) && slots.every((one) => all.has(one));
}
