import type { PiecesConfig } from "./config.ts";
import type { Collection, InUseReason, Verdict } from "./types.ts";

/** A task as the collector sees it. `inUse` is asked only of those whose turn comes, as the answer costs a system call. */
export interface CollectableTask {
  readonly id: string;
  /** What deleting it gives back. */
  readonly takenBytes: number;
  readonly accessedAtMs: number;
  readonly inUse: readonly InUseReason[];
}

export interface CollectionNeed {
  /** So much must become free. */
  readonly bytes: number;
  /** Tasks not used since this moment go in any case. */
  readonly unusedSinceMs: number;
}

export interface Victim {
  readonly id: string;
  readonly reason: "expired" | "space";
  /** Its last use when it was chosen; a later one saves it. */
  readonly accessedAtMs: number;
}

export interface EvictionPlan {
  readonly evict: readonly Victim[];
  readonly freedBytes: number;
  /** Whether the need is met. */
  readonly enough: boolean;
  /** Tasks that were passed over, by the first reason why. */
  readonly kept: Readonly<Partial<Record<InUseReason, number>>>;
}

/** Which tasks to delete: never one in use, the least recently used first, and no more than needed. */
export function planEviction(tasks: Iterable<CollectableTask>, need: CollectionNeed): EvictionPlan {
  const evict: Victim[] = [];
  const kept: Partial<Record<InUseReason, number>> = {};
  let freedBytes = 0;
  for (const task of [...tasks].toSorted((a, b) => a.accessedAtMs - b.accessedAtMs || (a.id < b.id ? -1 : 1))) {
    const expired = task.accessedAtMs < need.unusedSinceMs;
    if (!expired && freedBytes >= need.bytes) break; // all later ones were used more recently
    const reason = task.inUse[0];
    if (reason !== undefined) {
      kept[reason] = (kept[reason] ?? 0) + 1;
      continue;
    }
    evict.push({ id: task.id, reason: expired ? "expired" : "space", accessedAtMs: task.accessedAtMs });
    freedBytes += task.takenBytes;
  }
  return { evict, freedBytes, enough: freedBytes >= need.bytes, kept };
}

/** What became of each task, those that went first, and each kind in the order in which they would go. */
export function verdictsOf(
  tasks: readonly (CollectableTask & { readonly meta: { readonly url: string }; readonly usedBy: readonly string[] })[],
  gone: readonly Victim[],
): Pick<Collection, "freedBytes" | "verdicts"> {
  const reasons = new Map(gone.map(({ id, reason }) => [id, reason]));
  const verdicts = tasks.map((task): Verdict => {
    const facts = { id: task.id, url: task.meta.url, heldBytes: task.takenBytes, accessedAtMs: task.accessedAtMs };
    const goes = reasons.get(task.id);
    if (goes !== undefined) return { ...facts, verdict: goes, inUse: [], usedBy: [] };
    const { inUse } = task;
    if (inUse.length === 0) return { ...facts, verdict: "not-needed", inUse, usedBy: [] };
    return { ...facts, verdict: "in-use", inUse, usedBy: task.usedBy };
  });
  const rank = ({ id }: Verdict): number => (reasons.has(id) ? 0 : 1);
  return {
    freedBytes: verdicts.reduce((sum, { id, heldBytes }) => sum + (reasons.has(id) ? heldBytes : 0), 0),
    verdicts: verdicts.toSorted((a, b) => rank(a) - rank(b) || a.accessedAtMs - b.accessedAtMs),
  };
}

export interface Room {
  readonly heldBytes: number;
  readonly reservedBytes: number;
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
}

type Limits = Pick<PiecesConfig, "quotaBytes" | "diskFreeMinBytes" | "diskFullPercent" | "diskHighPercent" | "diskLowPercent">;

/** On small disks the fixed floor would leave nothing. */
const FREE_MIN_SHARE = 0.05;

const floorOf = ({ diskTotalBytes }: Room, { diskFreeMinBytes }: Limits): number =>
  Math.min(diskFreeMinBytes, Math.floor(diskTotalBytes * FREE_MIN_SHARE));

/** Bytes by which content, with all that is reserved, is over what the quota and the disk allow; at most 0: all fits. */
export function shortageOf(room: Room, limits: Limits): number {
  const keptFreeBytes = Math.floor((room.diskTotalBytes * (100 - limits.diskFullPercent)) / 100);
  return shortageAbove(Math.max(floorOf(room, limits), keptFreeBytes), room, limits);
}

function shortageAbove(floorBytes: number, room: Room, limits: Limits): number {
  const overDisk = room.reservedBytes + floorBytes - room.diskFreeBytes;
  const overQuota = limits.quotaBytes === 0 ? -Infinity : room.heldBytes + room.reservedBytes - limits.quotaBytes;
  return Math.max(overDisk, overQuota);
}

/**
 * Bytes that a periodic collection should free. The shares are of what the disk offers to content, used or free, so that a disk
 * that others have filled does not empty the store.
 */
export function surplusOf(room: Room, limits: Limits): number {
  const offeredBytes = room.heldBytes + room.diskFreeBytes;
  const overHigh = room.heldBytes > (offeredBytes * limits.diskHighPercent) / 100;
  const overLowBytes = overHigh ? Math.ceil(room.heldBytes - (offeredBytes * limits.diskLowPercent) / 100) : 0;
  return Math.max(0, overLowBytes, shortageAbove(floorOf(room, limits), room, limits));
}
