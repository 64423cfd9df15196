import { AnaxError } from "../../base/errors.ts";
import { forgetNode, keepWeights, planOf, rebalanceState, weightsIn } from "../../node/store-rebalance.ts";
import { nodeAt, type StoreNode } from "../../node/store-slots.ts";
import { printJson, printLine } from "../output.ts";
import { showPlan, spread } from "./spread.ts";

export interface RebalanceFlags {
  readonly json?: boolean;
  readonly weight: readonly string[];
  readonly by?: "slots" | "bytes";
  readonly threshold?: number;
  readonly moves?: number;
  readonly dryRun?: boolean;
}

export async function rebalance(nodes: readonly StoreNode[], flags: RebalanceFlags): Promise<void> {
  const { by, threshold, moves, json = false } = flags;
  const weights = weightsIn(nodes, flags.weight);
  const options = {
    json,
    weights,
    ...(by !== undefined && { by }),
    ...(threshold !== undefined && { thresholdPercent: threshold }),
    ...(moves !== undefined && { movesMax: moves }),
  };
  const plan = await planOf(nodes, options);
  if (flags.dryRun === true) return showPlan(plan, json);
  await keepWeights(nodes, weights);
  const moved = await spread(nodes, options);
  if (json) return printJson({ event: "done", slots: moved });
  if (moved > 0) return printLine(`Moved ${moved} slots: each node has its share.`);
  printLine(`Nothing to move: no node is further from its share than ${plan.thresholdPercent} %.`);
}

export interface DrainFlags {
  readonly json?: boolean;
  readonly forget?: boolean;
}

/** A node without slots that gets none by itself, and that leaves if it is told so. */
export async function drain(nodes: readonly StoreNode[], name: string, { json = false, forget }: DrainFlags): Promise<void> {
  const { id, address } = nodeAt(nodes, name);
  const kept = (await rebalanceState(nodes)).weights;
  if (!nodes.some((other) => other.id !== id && !other.failed && kept.get(other.id) !== "0"))
    throw new AnaxError("input.invalid", { node: name, reason: "no other node may have its slots: each has weight 0, or no lease" });
  const weights = new Map([[id, 0]]);
  await keepWeights(nodes, weights);
  const moved = await spread(nodes, { json, weights, only: id });
  if (forget === true) await forgetNode(nodes, id);
  if (json) return printJson({ event: "done", node: id, slots: moved, forgotten: forget === true });
  const then = forget === true ? "it has left the cluster" : `it gets none again until: anax slots rebalance --weight ${address}=1`;
  printLine(`${address} has no slots (${moved} moved away); ${then}.`);
}
