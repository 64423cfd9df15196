import { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { VolumeDataShape } from "../data/volume-data.ts";
import type { VolumeFence } from "../meta/control.ts";
import type { MetaPlace } from "./open-meta.ts";
import type { VolumeRecord } from "./volume-record.ts";

/** What an engine that others use, too, knows of a volume from its beginning; the fence has what changes. */
const Description = z.object({
  uuid: z.string(),
  name: z.string(),
  owner: z.string(),
  readOnly: z.boolean(),
  capacityBytes: z.int(),
  inodesMax: z.int(),
  onDelete: z.enum(["detach-now", "at-purge"]),
  undeleteMs: z.int(),
  trashMs: z.int(),
  data: VolumeDataShape,
});

export type DescribedVolume = Readonly<z.infer<typeof Description>>;

export const describe = (volume: VolumeRecord): string => JSON.stringify(Description.parse(volume));

/** Throws `disk.corrupt`. */
export function parseDescription(text: string): DescribedVolume {
  try {
    return Description.parse(JSON.parse(text));
  } catch (cause) {
    throw new AnaxError("disk.corrupt", { reason: "the engine describes no volume that is known here" }, { cause });
  }
}

/** The record with what the engine says is in force, where others may have changed it. Throws `volume.unreachable`. */
export async function fenced(place: MetaPlace, known: VolumeRecord, clock: Clock): Promise<VolumeRecord> {
  if (!place.isShared || known.state === "purging") return known;
  await using control = await place.control(clock);
  return withFence(known, await control.readFence(), clock);
}

/** What verbs of this volume are held to. */
export function fenceFor({
  uuid,
  state,
  epoch,
  readOnly,
  capacityBytes,
  inodesMax,
  trashMs,
}: VolumeRecord): VolumeFence & { readonly uuid: string } {
  return { uuid, state, epoch, readOnly, capacityBytes, inodesMax, trashMs };
}

type Fenced = Pick<VolumeRecord, "state" | "epoch" | "readOnly" | "capacityBytes" | "inodesMax" | "trashMs">;

/** The newer of both; when it was marked as deleted elsewhere, who is here knows no better time than now. */
export function withFence(known: VolumeRecord, fence: Fenced, clock: Clock): VolumeRecord {
  if (fence.epoch <= known.epoch) return known;
  const { state, epoch, readOnly, capacityBytes, inodesMax, trashMs } = fence;
  const current = { ...known, state, epoch, readOnly, capacityBytes, inodesMax, trashMs };
  if (state === "active") return { ...current, deletedAtMs: undefined, purgeAtMs: undefined, deletedBy: undefined };
  const { deletedAtMs = clock.wallMs(), deletedBy = "elsewhere" } = known;
  return { ...current, deletedAtMs, deletedBy, purgeAtMs: known.purgeAtMs ?? deletedAtMs + known.undeleteMs };
}
