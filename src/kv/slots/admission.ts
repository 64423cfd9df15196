import { overlaps, ownerOf, type SlotMap, type SlotRange } from "./slot-map.ts";

/** Slots that a move has fenced. */
export interface Fence extends SlotRange {
  /** Commands wait; or get TRYAGAIN. */
  readonly waits: boolean;
  /** A claim may be under way: reads, too. */
  readonly readsToo: boolean;
}

/** Slots that the register gave, or may give, to this node, and that are not in place yet. */
export interface Arrival extends SlotRange {
  /** Commands wait; or get TRYAGAIN. */
  readonly waits: boolean;
}

export interface AdmissionFacts {
  readonly self: string;
  readonly map: SlotMap;
  readonly fences: readonly Fence[];
  readonly leaseHolds: boolean;
  readonly arriving: readonly Arrival[];
}

export type Admission =
  | { readonly kind: "serve" | "wait" | "tryAgain" | "clusterDown" }
  | { readonly kind: "moved"; readonly owner: string };

/** What becomes of a command for a slot: the one place where it is decided (I2). */
export function admissionOf(facts: AdmissionFacts, slot: number, writes: boolean): Admission {
  const owner = ownerOf(facts.map, slot);
  if (owner === "") return { kind: "clusterDown" };
  if (owner !== facts.self) return { kind: "moved", owner };
  if (!facts.leaseHolds) return { kind: "clusterDown" };
  const here = { start: slot, end: slot };
  const arrival = facts.arriving.find((range) => overlaps(range, here));
  if (arrival !== undefined) return { kind: arrival.waits ? "wait" : "tryAgain" };
  const fence = facts.fences.find((range) => overlaps(range, here) && (writes || range.readsToo));
  if (fence === undefined) return { kind: "serve" };
  return { kind: fence.waits ? "wait" : "tryAgain" };
}
