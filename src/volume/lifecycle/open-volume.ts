import { join } from "node:path";
import { realClock, type Clock } from "../../base/clock.ts";
import type { AnaxError } from "../../base/errors.ts";
import { loadStreamedWrites } from "../../disk/streamed-writes.ts";
import type { InlineBlobs } from "../data/blob-store.ts";
import { LocalBlobs } from "../data/local-blobs.ts";
import type { PeersBy } from "../data/staged/messages.ts";
import { RemoteFiles } from "../data/staged/remote-files.ts";
import { StagedBlobs } from "../data/staged/staged-blobs.ts";
import type { S3Data, VolumeData } from "../data/volume-data.ts";
import { LocalFiles } from "../data/local-files.ts";
import type { VolumeFiles } from "../data/volume-files.ts";
import type { LeaseVerbs } from "../meta/leases.ts";
import type { VolumeVerbs } from "../meta/verbs.ts";
import { Catalog, mustFind } from "./catalog.ts";
import { notifyWatchers } from "./events.ts";
import { MetaPlace } from "./open-meta.ts";
import { volumePaths } from "./volume-paths.ts";

/** Metadata and content of a volume, for one thread: the I/O worker of a mount, a gateway, a tool. */
export interface OpenVolume extends AsyncDisposable {
  readonly verbs: VolumeVerbs;
  readonly files: VolumeFiles;
  readonly leases: LeaseVerbs;
  /** Bytes on this machine's disk that wait to be uploaded. */
  readonly backlogBytes: number;
}

export interface OpenVolumeOptions {
  readonly dataDir: string;
  readonly volumeUuid: string;
  /** From `VolumeWatch`, in whatever thread that runs. */
  readonly sessionId: number;
  /** Memory for what is written and lies in no blob yet. */
  readonly bufferBytesMax?: number;
  /** Through whom peers are asked, where the volume says so. Default: none are. */
  readonly peers?: PeersBy | undefined;
  /** Where blobs of a bucket are kept to be read again. Default: with the volume. */
  readonly cacheDir?: string | undefined;
  /** Of `ReadCounts`, for another thread to read. Default: its own. */
  readonly reads?: SharedArrayBuffer | undefined;
  /** Content that does not match its digest, or is missing: read as EIO, and worth a line in the log. */
  readonly onDamage?: (ino: number, error: AnaxError) => void;
  readonly clock?: Clock;
}

const BUFFER_BYTES = 64 * 1024 * 1024;

/**
 * Content in a bucket is served through this machine's disk, and the bucket is not asked for anything yet. Throws `volume.unreachable` when the metadata are not there,
 * `volume.not-exist` when the volume is deleted, `disk.newer-format`, `disk.corrupt`.
 */
export async function openVolume({
  dataDir,
  volumeUuid,
  sessionId,
  bufferBytesMax = BUFFER_BYTES,
  peers,
  cacheDir,
  reads,
  onDamage = () => undefined,
  clock = realClock,
}: OpenVolumeOptions): Promise<OpenVolume> {
  const paths = volumePaths(dataDir, volumeUuid);
  const data = dataOf(dataDir, volumeUuid);
  await using scope = new AsyncDisposableStack();
  const verbs = scope.use(
    await MetaPlace.of(dataDir, volumeUuid).verbs({ sessionId, clock, onChanges: () => notifyWatchers(paths.told, clock.wallMs()) }),
  );
  let staged: StagedBlobs | undefined;
  const localFiles = (blobs: InlineBlobs): LocalFiles => new LocalFiles({ verbs, blobs, clock, bufferBytesMax, onDamage });
  const remoteFiles = async (place: S3Data): Promise<RemoteFiles> => {
    const cache = cacheDir === undefined ? paths.cache : join(cacheDir, volumeUuid);
    const blobs = await StagedBlobs.open({ ...paths, data: place, volumeUuid, cache, peers, counts: reads });
    staged = blobs;
    return new RemoteFiles({ local: localFiles(blobs), blobs, verbs, clock, onDamage });
  };
  const files =
    data.kind === "directory" ? localFiles(new LocalBlobs(paths.blobs, { streamed: await loadStreamedWrites() })) : await remoteFiles(data);
  scope.move();
  return {
    verbs,
    files,
    leases: verbs.leases,
    get backlogBytes() {
      return staged?.backlogBytes ?? 0;
    },
    async [Symbol.asyncDispose]() {
      try {
        await files[Symbol.asyncDispose]();
      } finally {
        await verbs[Symbol.asyncDispose]();
      }
    },
  };
}

function dataOf(dataDir: string, volumeUuid: string): VolumeData {
  using catalog = Catalog.open(dataDir, { create: false });
  return mustFind(catalog, volumeUuid).data;
}
