import { z } from "zod";
import type { Cell, Register } from "../../register/register.ts";
import { valueIn } from "./cell-value.ts";

/**
 * What allows a node to serve its slots for a while. All times are differences of monotonic clocks of one machine each: the holder counts from before it asked, whoever waits for
 * the lease to run out from when he first saw it, and a tenth longer. So clocks need no agreement, only like speed, and the engine's clock plays no part.
 */
interface LeaseRecord {
  readonly counter: number;
  readonly lengthMs: number;
  /** Taken away by this node; the holder has to begin anew, and claim its slots before it serves. */
  readonly revokedBy: string;
  /** Bytes of the history of changes that the node has: among replicas the one with the most takes over. */
  readonly offset: number;
}

export interface HeldLease {
  readonly node: string;
  /** Who had taken it away before it was got; empty: nobody. */
  readonly takenBy: string;
  readonly version: number;
  readonly counter: number;
  readonly lengthMs: number;
  readonly untilMs: number;
}

/** Another's lease, as it was first seen. */
export interface SeenLease {
  readonly node: string;
  readonly cell: Cell;
  readonly firstSeenMs: number;
}

const MARGIN = 1.1;
const LeaseForm = z.strictObject({
  counter: z.int().min(1),
  lengthMs: z.int().min(1),
  revokedBy: z.string(),
  offset: z.int().min(0).default(0),
});
const cellOf = (node: string): string => `lease/${node}`;

/** A lease after a start, or after one was lost: whoever gets it has to claim its slots before it serves them. Throws `register.*`. */
export async function acquireLease(
  register: Register,
  node: string,
  lengthMs: number,
  nowMs: () => number,
): Promise<HeldLease | undefined> {
  const cell = await register.read(cellOf(node));
  const { counter, revokedBy } = recordOf(cell);
  return set(register, { node, takenBy: revokedBy, version: cell.version, counter: counter + 1, lengthMs, untilMs: 0 }, 0, nowMs);
}

/** The lease for another length of time; undefined: it was taken away. After `register.unknown` acquire anew: whether it was renewed nobody knows. */
export const renewLease = (register: Register, held: HeldLease, nowMs: () => number, offset = 0): Promise<HeldLease | undefined> =>
  set(register, { ...held, counter: held.counter + 1 }, offset, nowMs);

/** Gives a lease back that the node needs no more: others need not wait until it has run out. Throws `register.*`. */
export async function releaseLease(register: Register, held: HeldLease, offset: number): Promise<void> {
  const { node, version, counter, lengthMs } = held;
  const value = JSON.stringify({ counter: counter + 1, lengthMs, revokedBy: node, offset } satisfies LeaseRecord);
  await register.compareAndSet(cellOf(node), { expected: version, value });
}

export const leaseHolds = (held: HeldLease | undefined, nowMs: number): boolean => held !== undefined && nowMs < held.untilMs;

/** Looks at another's lease; ask again with what it says. Throws `register.*`. */
export async function watchLease(register: Register, node: string, seen: SeenLease | undefined, nowMs: () => number): Promise<SeenLease> {
  const cell = await register.read(cellOf(node));
  // It may have been renewed while it was asked for: its length begins when it is seen, not when it was asked for.
  return seen !== undefined && seen.cell.version === cell.version ? seen : { node, cell, firstSeenMs: nowMs() };
}

export function leaseRanOut(seen: SeenLease, nowMs: number): boolean {
  const { lengthMs, revokedBy } = recordOf(seen.cell);
  if (seen.cell.version === 0) return true; // it never had one
  return revokedBy !== "" || nowMs - seen.firstSeenMs > lengthMs * MARGIN;
}

/** How much of the history it had when it last renewed it. */
export const offsetOf = (seen: SeenLease): number => recordOf(seen.cell).offset;

/** Takes a lease away that has run out; only then may its holder's slots be claimed. False: the holder has renewed it. Throws `register.*`. */
export async function revokeLease(register: Register, seen: SeenLease, by: string, nowMs: number): Promise<boolean> {
  if (!leaseRanOut(seen, nowMs)) return false;
  const { counter, lengthMs, offset } = recordOf(seen.cell);
  const value = JSON.stringify({ counter: counter + 1, lengthMs, revokedBy: by, offset } satisfies LeaseRecord);
  return (await register.compareAndSet(cellOf(seen.node), { expected: seen.cell.version, value })).kind === "set";
}

async function set(register: Register, wanted: HeldLease, offset: number, nowMs: () => number): Promise<HeldLease | undefined> {
  const askedMs = nowMs();
  const { node, version, counter, lengthMs } = wanted;
  const value = JSON.stringify({ counter, lengthMs, revokedBy: "", offset } satisfies LeaseRecord);
  const outcome = await register.compareAndSet(cellOf(node), { expected: version, value });
  return outcome.kind === "set" ? { ...wanted, version: outcome.version, untilMs: askedMs + lengthMs } : undefined;
}

const NEVER: LeaseRecord = { counter: 0, lengthMs: 1, revokedBy: "", offset: 0 };
const recordOf = (cell: Cell): LeaseRecord => (cell.version === 0 ? NEVER : valueIn(LeaseForm, cell.value));
