import { AnaxError } from "../../base/errors.ts";
import type { VolumeState } from "./volume-record.ts";

type VolumeStep = "delete" | "undelete" | "purge" | "purged";

/** Two steps, because an operator's slip must be reversible: nothing is destroyed before `purging`. */
const NEXT: Readonly<Record<VolumeState, Partial<Record<VolumeStep, VolumeState>>>> = {
  active: { delete: "deleting" },
  deleting: { undelete: "active", purge: "purging" },
  purging: { purged: "deleted" },
  deleted: {},
};

/** Throws `volume.wrong-state`. */
export function nextState(name: string, from: VolumeState, step: VolumeStep): VolumeState {
  const to = NEXT[from][step];
  if (to === undefined) throw new AnaxError("volume.wrong-state", { volume: name, state: from, step });
  return to;
}
