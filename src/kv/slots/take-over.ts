import type { Register } from "../../register/register.ts";
import { revokeLease, type SeenLease } from "./lease.ts";
import { claimSlots, readSlotMap } from "./ownership.ts";
import type { ClaimOutcome, OwnedRange } from "./slot-map.ts";

/** Whoever wants the slots of a node that is gone. */
export interface Taker {
  readonly node: string;
  /** That no other claim has. */
  readonly by: string;
  readonly nowMs: () => number;
  /** Whether it has the keys of these slots: others stay with the node that is gone, unavailable rather than lost. */
  readonly has: (range: OwnedRange) => boolean;
}

/**
 * The slots of a node whose lease has run out. The map is read before the lease is taken away: the node, should it live, claims its slots anew before it serves them, and a claim
 * with epochs from before cannot be made after that. Undefined: it has renewed its lease, or owns nothing that the taker has. Throws `register.*`; after `register.unknown` begin anew.
 */
export async function takeOver(register: Register, seen: SeenLease, taker: Taker): Promise<ClaimOutcome | undefined> {
  const map = await readSlotMap(register);
  const ranges = map.ranges.filter((range) => range.owner === seen.node && taker.has(range));
  if (ranges.length === 0 || !(await revokeLease(register, seen, taker.node, taker.nowMs()))) return undefined;
  return claimSlots(register, { ranges, owner: taker.node, by: taker.by });
}
