import { z } from "zod";
import { AnaxError } from "../../../base/errors.ts";
import type { Register } from "../../../register/register.ts";
import { valueIn } from "../../slots/cell-value.ts";

/** By shard, so that a replica that takes over inherits it; whoever is not in it has 1. */
export type Weights = Readonly<Record<string, number>>;

export const WEIGHT_DEFAULT = 1;
export const WEIGHT_MAX = 1000;
/** As people write it; undefined: it is none. */
export const parseWeight = (text: string): number | undefined =>
  /^\d{1,4}(\.\d{1,6})?$/.test(text) && Number(text) <= WEIGHT_MAX ? Number(text) : undefined;

const ROUNDS_MAX = 20;
const WeightsForm = z.record(z.string().max(40), z.number().min(0).max(WEIGHT_MAX));
const cellOf = (cluster: string): string => `cluster/${cluster}/weights`;

/** Throws `register.*`. */
export async function readWeights(register: Register, cluster: string): Promise<Weights> {
  return weightsIn((await register.read(cellOf(cluster))).value);
}

/** Shards that are not `known` are left out from then on. Throws `register.*`, `limit.exceeded`. */
export async function setWeights(register: Register, cluster: string, wanted: Weights, known: ReadonlySet<string>): Promise<void> {
  let cell = await register.read(cellOf(cluster));
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    const kept = Object.entries({ ...weightsIn(cell.value), ...wanted }).filter(
      ([shard, weight]) => known.has(shard) && weight !== WEIGHT_DEFAULT,
    );
    const set = await register.compareAndSet(cellOf(cluster), { expected: cell.version, value: JSON.stringify(Object.fromEntries(kept)) });
    if (set.kind === "set") return;
    cell = set.current;
  }
  throw new AnaxError("limit.exceeded", { rounds: ROUNDS_MAX, cell: cellOf(cluster) });
}

const weightsIn = (text: string): Weights => (text === "" ? {} : valueIn(WeightsForm, text));
