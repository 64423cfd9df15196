import { existsSync } from "node:fs";
import { realClock, type Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { LocalBlobs } from "../data/local-blobs.ts";
import { LocalFiles } from "../data/local-files.ts";
import type { VolumeFiles } from "../data/volume-files.ts";
import { openSqliteVerbs } from "../meta/sqlite/sqlite-verbs.ts";
import type { VolumeVerbs } from "../meta/verbs.ts";
import { notifyWatchers } from "./events.ts";
import { volumePaths } from "./volume-paths.ts";

/** Metadata and content of a volume, for one thread: the I/O worker of a mount, a gateway, a tool. */
export interface OpenVolume extends AsyncDisposable {
  readonly verbs: VolumeVerbs;
  readonly files: VolumeFiles;
}

export interface OpenVolumeOptions {
  readonly dataDir: string;
  readonly volumeUuid: string;
  /** From `VolumeWatch`, in whatever thread that runs. */
  readonly sessionId: number;
  /** Memory for what is written and lies in no blob yet. */
  readonly bufferBytesMax?: number;
  /** Content that does not match its digest, or is missing: read as EIO, and worth a line in the log. */
  readonly onDamage?: (ino: number, error: AnaxError) => void;
  readonly clock?: Clock;
}

const BUFFER_BYTES = 64 * 1024 * 1024;

/** Throws `volume.unreachable` when the metadata are not there, `volume.not-exist` when the volume is deleted, `disk.newer-format`, `disk.corrupt`. */
export async function openVolume({
  dataDir,
  volumeUuid,
  sessionId,
  bufferBytesMax = BUFFER_BYTES,
  onDamage = () => undefined,
  clock = realClock,
}: OpenVolumeOptions): Promise<OpenVolume> {
  const paths = volumePaths(dataDir, volumeUuid);
  // SQLite would make an empty file; one that is missing is no proof that the volume is gone.
  if (!existsSync(paths.meta)) throw new AnaxError("volume.unreachable", { volume: volumeUuid, path: paths.meta, reason: "not there" });
  const verbs = openSqliteVerbs({
    path: paths.meta,
    sessionId,
    clock,
    onChanges: () => notifyWatchers(paths.event, clock.wallMs()),
  });
  const files = new LocalFiles({ verbs, blobs: new LocalBlobs(paths.blobs), clock, bufferBytesMax, onDamage });
  return {
    verbs,
    files,
    async [Symbol.asyncDispose]() {
      try {
        await files[Symbol.asyncDispose]();
      } finally {
        await verbs[Symbol.asyncDispose]();
      }
    },
  };
}
