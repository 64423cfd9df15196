import { z } from "zod";
import { AnaxError } from "../../../base/errors.ts";
import type { Database } from "../../keyspace/database.ts";
import { SLOT_COUNT } from "../../keyspace/key-slot.ts";
import type { Migrations } from "../../slots/migration/migrations.ts";
import { parseRange, rangesText } from "../../slots/slot-text.ts";
import type { ClusterNode } from "../cluster-node.ts";
import type { Placement, PlannedMove } from "./plan.ts";

/** What a node says of its slots to whoever plans; CLUSTER REBALANCE REPORT. */
export interface Report {
  /** Slot, keys, and bytes as some of the keys let guess them; of slots that have keys. */
  readonly loads: readonly (readonly [slot: number, keys: number, bytes: number])[];
  /** Under way from here. */
  readonly moves: readonly { readonly to: string; readonly ranges: string }[];
  /** Slots are on their way by CLUSTER SETSLOT. */
  readonly classic: boolean;
  /** Replicas that live and have not got everything: each move that comes has them begin anew. */
  readonly behind: number;
}

/** Keys of a slot that are looked at: all nodes are asked from time to time. */
const SAMPLE_KEYS = 4;
const SAMPLE_STEPS_MAX = 16;

/** Looking at keys of all slots takes about a microsecond for each: `loads` are left out where nobody wants them. */
export function reportOf(node: ClusterNode, migrations: Migrations, withLoads: boolean): Report {
  const db = node.store.databases[0]!; // a cluster has one
  const loads = node
    .slotsOf(node.id)
    .filter((slot) => withLoads && db.slotCount(slot) > 0)
    .map((slot) => [slot, db.slotCount(slot), guessedBytes(db, slot)] as const);
  const moves = migrations
    .statuses()
    .filter(({ role, deadlineInMs }) => role === "source" && deadlineInMs !== undefined)
    .map(({ peer, ranges }) => ({ to: peer, ranges: rangesText(ranges) }));
  const replicas = node.known.filter(({ id, primary }) => primary === node.id && !node.failed.has(id)).length;
  const behind = Math.max(0, replicas - (node.store.replication?.primary.online.length ?? 0));
  return { loads, moves, classic: node.migrating.size + node.importing.size > 0, behind };
}

function guessedBytes(db: Database, slot: number): number {
  const sizes: number[] = [];
  let cursor = 0;
  for (let step = 0; step < SAMPLE_STEPS_MAX; step++) {
    cursor = db.scanSlot(slot, cursor, (address) => sizes.push(db.bytesOf(address)));
    if (cursor === 0 || sizes.length >= SAMPLE_KEYS) break;
  }
  const sum = sizes.reduce((all, size) => all + size, 0);
  return sizes.length === 0 ? 0 : Math.round((sum / sizes.length) * db.slotCount(slot));
}

const slot = z.int().min(0).max(SLOT_COUNT - 1); // prettier-ignore
const count = z.int().min(0);
const ReportForm = z.object({
  loads: z.array(z.tuple([slot, count, count])).max(SLOT_COUNT),
  moves: z.array(z.object({ to: z.string(), ranges: z.string() })).max(1024),
  classic: z.boolean(),
  behind: count,
});

/** Of what a node has answered. Throws `input.invalid`. */
export function parseReport(text: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = ReportForm.safeParse(value);
  if (!parsed.success) throw new AnaxError("input.invalid", { report: text.slice(0, 100), reason: "it is no report of a node" });
  return parsed.data;
}

/** What is under way, of all reports. */
const movesOf = (reports: ReadonlyMap<string, Report>): readonly PlannedMove[] =>
  [...reports].flatMap(([from, { moves }]) =>
    moves.map(({ to, ranges }) => ({ from, to, ranges: ranges.split(" ").flatMap((text) => parseRange(text) ?? []) })),
  );

/** Whoever has replicas that are behind takes nothing: they would never get everything, and until then what has come is there once. */
const closedBy = (reports: ReadonlyMap<string, Report>): ReadonlySet<string> =>
  new Set([...reports].filter(([, { behind }]) => behind > 0).map(([id]) => id));

/** What a plan goes by, of what nodes have told. */
export const placementOf = (
  owners: readonly string[],
  weights: ReadonlyMap<string, number>,
  reports: ReadonlyMap<string, Report>,
): Placement => ({ owners, weights, bytes: bytesOf(reports), moving: movesOf(reports), closed: closedBy(reports) });

/** By slot. */
export function bytesOf(reports: ReadonlyMap<string, Report>): Float64Array {
  const bytes = new Float64Array(SLOT_COUNT);
  for (const { loads } of reports.values()) for (const [at, , size] of loads) bytes[at] = size;
  return bytes;
}
