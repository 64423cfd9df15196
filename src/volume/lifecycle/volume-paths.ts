import { join } from "node:path";

/** Everything about volumes in a data directory. */
export const volumesDir = (dataDir: string): string => join(dataDir, "volumes");
/** Names, records and tombstones of all volumes. */
export const catalogPath = (dataDir: string): string => join(volumesDir(dataDir), "catalog.sqlite");

export interface VolumePaths {
  readonly dir: string;
  /** SQLite: names, inodes, extents, ledger, sessions. */
  readonly meta: string;
  readonly blobs: string;
  /** Of a volume whose content lies elsewhere: blobs that are not there yet, and those that are kept to be read again. */
  readonly staged: string;
  readonly cache: string;
  /** What processes of this machine have counted of what they read. */
  readonly reads: string;
  /** Touched whenever clients have something to look at. */
  readonly event: string;
  /** Touched whenever sessions have something to tell each other. */
  readonly told: string;
  /** Has a locked directory for each session of this machine. */
  readonly sessions: string;
}

export function volumePaths(dataDir: string, uuid: string): VolumePaths {
  const dir = join(volumesDir(dataDir), uuid);
  return {
    dir,
    meta: join(dir, "meta.sqlite"),
    blobs: join(dir, "blobs"),
    staged: join(dir, "staged"),
    cache: join(dir, "cache"),
    reads: join(dir, "reads"),
    event: join(dir, "event"),
    told: join(dir, "told"),
    sessions: join(dir, "sessions"),
  };
}
