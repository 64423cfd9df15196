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

/** The same with its cell's version; undefined: that is still `version`. */
export async function readNewerSlotMap(
  register: Register,
  version: number,
  signal?: AbortSignal,
): Promise<{ readonly version: number; readonly map: SlotMap } | undefined> {
  const cell = await register.read(CELL, signal);
  return cell.version === version ? undefined : { version: cell.version, map: parseSlotMap(cell.value) };
}

/** A register in which this cluster has its slot map beside those of others; leases are by node, the same for all. */
export const withinCluster = (register: Register, cluster: () => string): Register => {
  const nameOf = (name: string): string => (name === CELL ? `cluster/${cluster()}/${CELL}` : name);
  return {
    read: (name, signal) => register.read(nameOf(name), signal),
    compareAndSet: (name, change, signal) => register.compareAndSet(nameOf(name), change, signal),
    [Symbol.asyncDispose]: () => register[Symbol.asyncDispose](),
  };
};

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
