import { AnaxError } from "../base/errors.ts";
import { beginMove, MOVE_LIMITS } from "../kv/cluster/rebalance/limits.ts";
import { planMoves, wholePlan, type Placement, type PlanLimits, type PlannedMove, type Share } from "../kv/cluster/rebalance/plan.ts";
import { parseReport, placementOf, type Report } from "../kv/cluster/rebalance/report.ts";
import { parseWeight } from "../kv/cluster/rebalance/weights.ts";
import { SLOT_COUNT } from "../kv/keyspace/key-slot.ts";
import { rangesText, slotsIn } from "../kv/slots/slot-text.ts";
import { nodeAt, slotsNow, type StoreNode } from "./store-slots.ts";

export interface RebalanceOptions {
  readonly by?: "slots" | "bytes";
  readonly thresholdPercent?: number;
  readonly movesMax?: number;
  /** Only what this node has is moved: its id. */
  readonly only?: string;
  /** By id; the cluster's own where nothing is said. */
  readonly weights: ReadonlyMap<string, number>;
}

/** What a plan moves from one node to another. */
export interface ShownMove {
  readonly from: string;
  readonly to: string;
  readonly slots: number;
  readonly keys: number;
  readonly bytes: number;
  readonly ranges: string;
}

export interface ShownPlan {
  readonly by: "slots" | "bytes";
  readonly thresholdPercent: number;
  readonly nodes: readonly (Share & { readonly address: string; readonly weight: number; readonly after: number })[];
  readonly moves: readonly ShownMove[];
}

interface View {
  readonly placement: Placement;
  readonly limits: PlanLimits;
  readonly reports: ReadonlyMap<string, Report>;
}

/** `node=weight`, as `--weight` has it, by id. Throws `input.invalid`. */
export function weightsIn(nodes: readonly StoreNode[], texts: readonly string[]): ReadonlyMap<string, number> {
  return new Map(
    texts.map((text) => {
      const [name, weight] = [text.slice(0, text.lastIndexOf("=")), text.slice(text.lastIndexOf("=") + 1)];
      if (!text.includes("=") || parseWeight(weight) === undefined)
        throw new AnaxError("input.invalid", { weight: text, expected: "a node, =, and a number from 0 to 1000" });
      return [nodeAt(nodes, name).id, Number(weight)] as const;
    }),
  );
}

/** From now on, for whoever spreads slots. Throws `input.invalid`, `socket.closed`. */
export async function keepWeights(nodes: readonly StoreNode[], weights: ReadonlyMap<string, number>): Promise<void> {
  if (weights.size === 0) return;
  await asked(nodes)("CLUSTER", "REBALANCE", "WEIGHT", ...[...weights].flatMap(([id, weight]) => [id, String(weight)]));
}

/** All that would move. Throws `input.invalid`, `socket.closed`. */
export async function planOf(nodes: readonly StoreNode[], options: RebalanceOptions): Promise<ShownPlan> {
  const { placement, limits, reports } = await look(nodes, options);
  const { moves, after } = wholePlan(placement, limits);
  const loads = new Map([...reports.values()].flatMap((report) => report.loads.map(([slot, keys, bytes]) => [slot, { keys, bytes }])));
  const now = planMoves(placement, limits, false).shares;
  return {
    by: limits.by,
    thresholdPercent: limits.thresholdPercent,
    nodes: now.map((share) => ({
      ...share,
      address: nodes.find(({ id }) => id === share.node)!.address, // shares are of these nodes
      weight: placement.weights.get(share.node)!, // as above
      after: after.find(({ node }) => node === share.node)!.have, // as above
    })),
    moves: moves.map(({ from, to, ranges }) => {
      const slots = slotsIn(ranges);
      const total = (what: "keys" | "bytes"): number => slots.reduce((sum, slot) => sum + (loads.get(slot)?.[what] ?? 0), 0);
      return { from, to, slots: slots.length, keys: total("keys"), bytes: total("bytes"), ranges: rangesText(ranges) };
    }),
  };
}

export interface Begun {
  readonly begun: readonly PlannedMove[];
  /** Moves that a node has refused. */
  readonly refused: number;
  /** Under way, whoever has begun them. */
  readonly moving: number;
  /** Nothing can begin before replicas of a node have got everything. */
  readonly held: boolean;
  /** By slot, as it was seen: empty: nobody. */
  readonly owners: readonly string[];
}

/** Begins what can move now. What a node refuses, as somebody else has begun it, is left: the next plan knows. Throws `input.invalid`, `socket.closed`. */
export async function beginMoves(nodes: readonly StoreNode[], options: RebalanceOptions, goesOn: boolean): Promise<Begun> {
  const { placement, limits } = await look(nodes, options);
  const begun: PlannedMove[] = [];
  let refused = 0;
  const { moves, held } = planMoves(placement, limits, goesOn);
  for (const move of moves) {
    const { call } = nodes.find(({ id }) => id === move.from)!; // a plan is of these nodes
    try {
      await beginMove(call, move);
      begun.push(move);
    } catch (error) {
      if (!(error instanceof AnaxError && error.code === "input.invalid")) throw error;
      refused++;
    }
  }
  return { begun, refused, moving: placement.moving.length + begun.length, held, owners: placement.owners };
}

async function look(nodes: readonly StoreNode[], options: RebalanceOptions): Promise<View> {
  const now = await slotsNow(nodes);
  for (const { id, address, failed, slots } of now)
    if (failed && slots.length > 0)
      throw new AnaxError("input.invalid", {
        node: id,
        address,
        reason: "it has slots and no lease: wait for its replica, or bring it back",
      });
  const takers = nodes.filter(({ id, failed }) => !failed && now.some((one) => one.id === id));
  const reports = new Map<string, Report>();
  for (const { id, call } of takers) reports.set(id, parseReport(String(await call("CLUSTER", "REBALANCE", "REPORT"))));
  for (const [node, { classic }] of reports)
    if (classic)
      throw new AnaxError("input.invalid", { node, reason: "slots of it are on their way by CLUSTER SETSLOT: redis-cli --cluster fix" });
  const settings = pairsOf(await asked(takers)("CLUSTER", "REBALANCE"));
  const kept = pairsOf(settings.get("weights"));
  const owners = Array.from({ length: SLOT_COUNT }, () => "");
  for (const { id, slots } of now) for (const slot of slots) owners[slot] = id;
  const weightOf = (id: string): number => options.weights.get(id) ?? Number(kept.get(id) ?? 1);
  return {
    reports,
    placement: placementOf(owners, new Map(takers.map(({ id }) => [id, weightOf(id)])), reports),
    limits: {
      by: options.by ?? (settings.get("by") === "bytes" ? "bytes" : "slots"),
      thresholdPercent: options.thresholdPercent ?? Number(settings.get("threshold")),
      movesMax: options.movesMax ?? Number(settings.get("moves")),
      ...MOVE_LIMITS,
      only: options.only,
    },
  };
}

function asked(nodes: readonly StoreNode[]): StoreNode["call"] {
  const node = nodes.find(({ failed }) => !failed);
  if (node === undefined) throw new AnaxError("input.invalid", { reason: "no node of the cluster can be asked" });
  return node.call;
}

/** A map of RESP 2. */
function pairsOf(reply: unknown): ReadonlyMap<string, unknown> {
  const items = Array.isArray(reply) ? (reply as readonly unknown[]) : [];
  return new Map(items.flatMap((item, at) => (at % 2 === 0 ? [[String(item), items[at + 1]] as const] : [])));
}

/** What the cluster says of its own spreading of slots. */
export interface RebalanceState {
  readonly enabled: boolean;
  /** The id of the node that does it. */
  readonly runner: string;
  readonly state: string;
  /** By id. */
  readonly weights: ReadonlyMap<string, string>;
}

/** Throws `input.invalid`, `socket.closed`. */
export async function rebalanceState(nodes: readonly StoreNode[]): Promise<RebalanceState> {
  const said = pairsOf(await asked(nodes)("CLUSTER", "REBALANCE"));
  return {
    enabled: said.get("enabled") === "yes",
    runner: String(said.get("runner")),
    state: String(said.get("state")),
    weights: new Map([...pairsOf(said.get("weights"))].map(([id, weight]) => [id, String(weight)])),
  };
}

/** Has a node without slots leave. Throws `input.invalid`, `socket.closed`. */
export async function forgetNode(nodes: readonly StoreNode[], id: string): Promise<void> {
  const others = nodes.filter((node) => node.id !== id);
  const replicas = (await asked(others)("CLUSTER", "REPLICAS", id)) as readonly string[];
  if (replicas.length > 0)
    throw new AnaxError("input.invalid", {
      node: id,
      reason: `it has ${replicas.length} replicas: CLUSTER REPLICATE another node first, at each of them`,
    });
  await asked(others)("CLUSTER", "FORGET", id);
}
