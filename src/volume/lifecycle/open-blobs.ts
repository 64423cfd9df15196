import type { Clock } from "../../base/clock.ts";
import type { BlobStore } from "../data/blob-store.ts";
import { LocalBlobs } from "../data/local-blobs.ts";
import { RemoteBlobs } from "../data/staged/remote-blobs.ts";
import type { S3Data } from "../data/volume-data.ts";
import { volumePaths } from "./volume-paths.ts";
import type { VolumeRecord } from "./volume-record.ts";

/** The blobs of a volume wherever its record says that they lie, for collection and checks. */
export async function openBlobs(dataDir: string, { uuid, data }: Pick<VolumeRecord, "uuid" | "data">, clock: Clock): Promise<BlobStore> {
  if (data.kind === "directory") return new LocalBlobs(volumePaths(dataDir, uuid).blobs);
  return openRemoteBlobs(dataDir, { uuid, data }, clock);
}

/** The same, of a volume whose content lies in a bucket. */
export function openRemoteBlobs(
  dataDir: string,
  { uuid, data }: { readonly uuid: string; readonly data: S3Data },
  clock: Clock,
): Promise<RemoteBlobs> {
  const { staged, cache } = volumePaths(dataDir, uuid);
  return RemoteBlobs.open({ data, volumeUuid: uuid, staged, cache }, clock);
}
