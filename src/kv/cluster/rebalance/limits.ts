import type { ParameterValues } from "../../parameters/parameters.ts";
import type { PlanLimits, PlannedMove } from "./plan.ts";

/** A move that fails begins from nothing: it is to be small. */
export const MOVE_LIMITS = { moveSlotsMax: 2048, moveBytesMax: 1024 ** 3 };

export const limitsOf = (parameters: ParameterValues): PlanLimits => ({
  by: parameters["cluster-rebalance-by"] === "bytes" ? "bytes" : "slots",
  thresholdPercent: parameters["cluster-rebalance-threshold"],
  movesMax: parameters["cluster-rebalance-moves"],
  ...MOVE_LIMITS,
});

/** Asks the node that has the slots. */
export async function beginMove(call: (...parts: readonly string[]) => Promise<unknown>, { to, ranges }: PlannedMove): Promise<void> {
  const words = ranges.flatMap(({ start, end }) => [String(start), String(end)]);
  await call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", ...words, "NODE", to);
}
