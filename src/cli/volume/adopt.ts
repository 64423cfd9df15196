import { AnaxError } from "../../base/errors.ts";
import type { VolumeRecord } from "../../volume/lifecycle/volume-record.ts";
import type { Volumes } from "../../volume/lifecycle/volumes.ts";
import type { RemoteVolumes } from "../../volume/service/remote-volumes.ts";

/** Makes a volume of a service known here, so that this machine can use its metadata and content directly. Throws `volume.mount-failed` where only the machine of the service can. */
export async function adopted(volumes: Volumes, remote: RemoteVolumes, name: string): Promise<VolumeRecord> {
  const { volume, meta } = await remote.call("place", [name]);
  const reason =
    meta === undefined
      ? "its metadata are in SQLite on the machine of the service"
      : volume.data.kind === "directory"
        ? "its content is in a directory of the machine of the service"
        : undefined;
  if (meta !== undefined && reason === undefined) return volumes.adopt({ volume, meta });
  throw new AnaxError("volume.mount-failed", {
    volume: volume.name,
    reason,
    hint: "use it on that machine, or over S3 (anax volume serve-s3); others can mount what was made with --meta and --data",
  });
}
