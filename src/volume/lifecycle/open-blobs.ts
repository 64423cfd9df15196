import type { Clock } from "../../base/clock.ts";
import type { BlobStore } from "../data/blob-store.ts";
import { LocalBlobs } from "../data/local-blobs.ts";
import { RemoteBlobs } from "../data/staged/remote-blobs.ts";
import { volumePaths } from "./volume-paths.ts";
import type { VolumeRecord } from "./volume-record.ts";

/** The blobs of a volume wherever its record says that they lie, for collection and checks. */
export async function openBlobs(dataDir: string, { uuid, data }: Pick<VolumeRecord, "uuid" | "data">, clock: Clock): Promise<BlobStore> {
  const { blobs, staged, cache } = volumePaths(dataDir, uuid);
  return data.kind === "directory" ? new LocalBlobs(blobs) : RemoteBlobs.open({ data, volumeUuid: uuid, staged, cache }, clock);
}
