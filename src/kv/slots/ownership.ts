import { AnaxError } from "../../base/errors.ts";
import type { Register } from "../../register/register.ts";
import { makeClaim, parseSlotMap, type Claim, type ClaimOutcome, type SlotMap } from "./slot-map.ts";

const CELL = "slots";
/** Others change other slots at the same time: each of them makes one round more. */
const ROUNDS_MAX = 20;

/** Throws `register.unreachable`, `register.refused`, `register.invalid`. */
export async function readSlotMap(register: Register, signal?: AbortSignal): Promise<SlotMap> {
  return parseSlotMap((await register.read(CELL, signal)).value);
}

/**
 * Makes a claim, or says that it was made before, or that it cannot be made any more; with the map as it is then. Throws `register.unknown` when the answer was lost: the
 * same claim may be sent again until there is one. `limit.exceeded`: others changed the map all the time, and nothing has happened.
 */
export async function claimSlots(register: Register, claim: Claim, signal?: AbortSignal): Promise<ClaimOutcome> {
  let cell = await register.read(CELL, signal);
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    const outcome = makeClaim(parseSlotMap(cell.value), claim);
    if (outcome.kind !== "made") return outcome;
    const set = await register.compareAndSet(CELL, { expected: cell.version, value: JSON.stringify(outcome.map) }, signal);
    if (set.kind === "set") return outcome;
    cell = set.current;
  }
  throw new AnaxError("limit.exceeded", { rounds: ROUNDS_MAX, cell: CELL });
}
