import { rangesOf, slotsIn } from "../../slots/slot-text.ts";
import type { SlotRange } from "../../slots/slot-map.ts";
import { pickSlots } from "./pick-slots.ts";

/** What slots are on the nodes that may have them. */
export interface Placement {
  /** By slot: the owner's id, empty: nobody. */
  readonly owners: readonly string[];
  /** By slot: bytes of its keys. */
  readonly bytes: ArrayLike<number>;
  /** Of the nodes that may own slots: their shares are as these to each other; 0: it is to have none. Slots of other owners stay where they are. */
  readonly weights: ReadonlyMap<string, number>;
  /** Under way: their slots stay as they are until it is over, and count as the target's. */
  readonly moving: readonly PlannedMove[];
  /** Between these nothing begins for the time being, as it has failed: `pairOf`. */
  readonly resting?: ReadonlySet<string>;
  /** Nodes that take nothing for the time being. */
  readonly closed?: ReadonlySet<string>;
}

export interface PlannedMove {
  readonly from: string;
  readonly to: string;
  readonly ranges: readonly SlotRange[];
}

export interface PlanLimits {
  readonly by: "slots" | "bytes";
  /** It begins when a node has so many percent more or less than its share. */
  readonly thresholdPercent: number;
  /** At once, with those that are under way. */
  readonly movesMax: number;
  /** Of one move, unless a single slot has more. */
  readonly moveSlotsMax: number;
  readonly moveBytesMax: number;
  /** Only what this node has is moved; undefined: everybody's. */
  readonly only?: string | undefined;
}

export const pairOf = ({ from, to }: Pick<PlannedMove, "from" | "to">): string => `${from} ${to}`;

/** A node, what it has and what it should have; in slots, or in bytes with `SLOT_BYTES` for each slot. */
export interface Share {
  readonly node: string;
  readonly have: number;
  readonly want: number;
}

export interface Plan {
  /** It has begun, and is not over. */
  readonly active: boolean;
  /** Nothing is under way or can begin, though something would, were it not for `resting` and `closed`. */
  readonly held: boolean;
  /** What can begin now. */
  readonly moves: readonly PlannedMove[];
  readonly shares: readonly Share[];
}

/** What a slot counts by bytes more than its keys, so that few keys in many slots are spread as well, and little is never chased. */
export const SLOT_BYTES = 4096;

/**
 * What is to move now. Once it was begun it goes on until every node has its share, by bytes until none is further from it than half the threshold, or until nothing is left to move that
 * would bring it nearer; then nothing moves before a node is beyond the threshold: that is why it does not swing. No move makes a node that has too little have too much, so that
 * nothing moves twice.
 */
export function planMoves(placement: Placement, limits: PlanLimits, wasActive: boolean): Plan {
  const state = stateOf(placement, limits);
  const shares = sharesOf(state);
  const moves: PlannedMove[] = [];
  const begins = wasActive || shares.some((share) => distanceOf(share) > limits.thresholdPercent / 100);
  if (!begins) return { active: false, held: false, moves, shares };
  const { resting = NONE, closed = NONE, moving } = placement;
  while (moving.length + moves.length < limits.movesMax) {
    const busy = [...moving, ...moves].map(pairOf);
    const move = nextMove(
      state,
      limits,
      ({ from, to }) => busy.includes(pairOf({ from, to })) || resting.has(pairOf({ from, to })) || closed.has(to),
    );
    if (move === undefined) break;
    apply(state, move);
    moves.push(move);
  }
  const goesOn = moving.length + moves.length > 0;
  const held = !goesOn && nextMove(state, limits, () => false) !== undefined;
  return { active: goesOn || held, held, moves, shares };
}

const NONE: ReadonlySet<string> = new Set();

/** All that will move, one move for each two nodes, if nothing else changes. */
export function wholePlan(
  placement: Placement,
  wanted: PlanLimits,
): { readonly moves: readonly PlannedMove[]; readonly after: readonly Share[] } {
  const slots = new Map<string, { readonly from: string; readonly to: string; readonly slots: number[] }>();
  const limits = { ...wanted, movesMax: Infinity, moveSlotsMax: Infinity, moveBytesMax: Infinity };
  const owners = [...placement.owners];
  for (const { to, ranges } of placement.moving) for (const slot of slotsIn(ranges)) owners[slot] = to;
  for (let active = false; ; active = true) {
    const plan = planMoves({ ...placement, owners, moving: [], resting: NONE, closed: NONE }, limits, active);
    if (plan.moves.length === 0)
      return { moves: [...slots.values()].map((one) => ({ from: one.from, to: one.to, ranges: rangesOf(one.slots) })), after: plan.shares };
    for (const { from, to, ranges } of plan.moves) {
      const key = pairOf({ from, to });
      if (!slots.has(key)) slots.set(key, { from, to, slots: [] });
      slots.get(key)!.slots.push(...slotsIn(ranges)); // just set
      for (const slot of slotsIn(ranges)) owners[slot] = to;
    }
  }
}

/** How far from its share a node is, as a part of it. */
const distanceOf = ({ have, want }: Share): number => (have === want ? 0 : want === 0 ? Infinity : Math.abs(have - want) / want);

/** What the planner changes as it goes. */
interface State {
  /** As they will be. */
  readonly owners: string[];
  readonly stays: Uint8Array;
  readonly loads: Float64Array;
  readonly bytes: ArrayLike<number>;
  readonly have: Map<string, number>;
  readonly want: ReadonlyMap<string, number>;
}

function stateOf({ owners: given, bytes, weights, moving }: Placement, { by }: PlanLimits): State {
  const owners = [...given];
  const stays = new Uint8Array(owners.length);
  for (const { to, ranges } of moving)
    for (const slot of slotsIn(ranges)) {
      owners[slot] = to;
      stays[slot] = 1;
    }
  const loads = Float64Array.from(owners, (_, slot) => (by === "slots" ? 1 : SLOT_BYTES + bytes[slot]!)); // there is one for each
  const have = new Map([...weights.keys()].map((node) => [node, 0]));
  for (const [slot, owner] of owners.entries()) {
    const before = have.get(owner);
    if (before !== undefined) have.set(owner, before + loads[slot]!); // as above
  }
  return { owners, stays, loads, bytes, have, want: wantedOf(have, weights, by === "slots") };
}

/** Whole slots: what is left of the division goes to those that have most above it, so that the fewest move. */
function wantedOf(have: ReadonlyMap<string, number>, weights: ReadonlyMap<string, number>, whole: boolean): ReadonlyMap<string, number> {
  const total = sum(have.values());
  const weight = sum(weights.values());
  if (weight === 0) return new Map(have); // nobody could take them
  const exact = new Map([...weights].map(([node, own]) => [node, (total * own) / weight]));
  if (!whole) return exact;
  const wanted = new Map([...exact].map(([node, share]) => [node, Math.floor(share)]));
  const above = (node: string): number => have.get(node)! - wanted.get(node)!; // both have all nodes
  const order = [...wanted.keys()].filter((node) => weights.get(node)! > 0).toSorted((a, b) => above(b) - above(a) || (a < b ? -1 : 1));
  for (let left = total - sum(wanted.values()), at = 0; left > 0; left--, at++) {
    const node = order[at % order.length]!; // somebody has a weight
    wanted.set(node, wanted.get(node)! + 1);
  }
  return wanted;
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((all, one) => all + one, 0);

const sharesOf = ({ have, want }: State): readonly Share[] =>
  [...want].map(([node, wanted]) => ({ node, have: have.get(node)!, want: wanted })); // both have all nodes

/** From who has most above its share to who has most below it; between two nodes one move at a time. */
function nextMove(state: State, limits: PlanLimits, isBusy: (pair: Pick<PlannedMove, "from" | "to">) => boolean): PlannedMove | undefined {
  const shares = sharesOf(state);
  const above = shares
    .filter(({ node, have, want }) => have > want && (limits.only ?? node) === node)
    .toSorted((a, b) => leaves(b) - leaves(a) || b.have - b.want - (a.have - a.want));
  const below = shares.filter(({ have, want }) => want > 0 && have < want).toSorted((a, b) => b.want - b.have - (a.want - a.have));
  for (const source of above)
    for (const target of below) {
      if (isBusy({ from: source.node, to: target.node })) continue;
      const pair = [source, target];
      if (limits.by === "bytes" && pair.every((share) => distanceOf(share) <= limits.thresholdPercent / 200)) continue;
      const slots = pickSlots({
        from: source.node,
        to: target.node,
        owners: state.owners,
        stays: state.stays,
        loads: state.loads,
        bytes: state.bytes,
        loadMax: Math.min(source.have - source.want, target.want - target.have),
        bytesMax: limits.moveBytesMax,
        slotsMax: limits.moveSlotsMax,
        takesAny: source.want === 0,
      });
      if (slots.length > 0) return { from: source.node, to: target.node, ranges: rangesOf(slots) };
    }
  return undefined;
}

/** Who is to have nothing goes first. */
const leaves = ({ want }: Share): number => (want === 0 ? 1 : 0);

function apply(state: State, { from, to, ranges }: PlannedMove): void {
  for (const slot of slotsIn(ranges)) {
    const load = state.loads[slot]!; // of a slot that was picked
    state.owners[slot] = to;
    state.stays[slot] = 1;
    state.have.set(from, state.have.get(from)! - load); // both are nodes of the plan
    state.have.set(to, state.have.get(to)! + load);
  }
}
