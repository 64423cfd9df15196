/** What a session says of itself. */
export interface SessionInfo {
  readonly host: string;
  readonly pid: number;
  readonly mountpoint: string;
  readonly readOnly: boolean;
}

export interface Session extends SessionInfo {
  readonly id: number;
  readonly startedAtMs: number;
  readonly seenAtMs: number;
  /** What others changed up to there it has dropped from its caches; undefined: it has none that anybody could wait for. */
  readonly acknowledgedSeq: number | undefined;
}

/** How long a session counts as living after its last heartbeat. */
export const SESSION_TTL_MS = 30_000;

/** So long a session that shows no sign of life can delay the others: then it is ended, and loses what it held. */
export const LEASE_MS = 10_000;

/** What a heartbeat learns. */
export interface Pulse {
  readonly state: string;
  readonly epoch: number;
  /** Newest entry of the changelog. */
  readonly changeSeq: number;
  /** The session had been taken for dead: its locks, and files that it had open without a name, are gone. */
  readonly revived: boolean;
}

/** Who lives, and what they have heard of. */
export interface Peers {
  readonly changeSeq: number;
  readonly sessions: readonly Session[];
}

/** What others changed, for caches. */
export interface ForeignChanges {
  readonly seq: number;
  /** Too much, or too long ago, to be named: everything may be stale. */
  readonly everything: boolean;
  /** Of files whose content changed, or is about to. */
  readonly inos: readonly number[];
  readonly unlocked: readonly number[];
}

/** What verbs of this volume are held to; written by whoever owns the record of the volume. */
export interface VolumeFence {
  readonly state: "active" | "deleting" | "purging" | "deleted";
  readonly epoch: number;
  readonly readOnly: boolean;
  readonly capacityBytes: number;
  readonly inodesMax: number;
  /** How long what is deleted can be restored; zero: not at all. */
  readonly trashMs: number;
}

export interface DirectoryQuota {
  readonly ino: number;
  /** Zero: no limit. */
  readonly bytesMax: number;
  readonly inodesMax: number;
  readonly usedBytes: number;
  readonly usedInodes: number;
}

/**
 * The other half of a metadata engine, for threads whose event loop turns: sessions, fence, quotas. Slower than the verbs, and in a connection of its own.
 * Throws `volume.unreachable`, `disk.full`, `disk.io`, `disk.corrupt`.
 */
export interface VolumeControl extends AsyncDisposable {
  readonly volumeUuid: string;
  readFence(): Promise<VolumeFence>;
  /** Holds all verbs that begin afterwards to it. An older epoch than the one in force changes nothing; false then. */
  writeFence(fence: VolumeFence): Promise<boolean>;

  beginSession(info: SessionInfo): Promise<number>;
  /** Also ends sessions that have been silent for SESSION_TTL_MS: their locks go, and blobs that they did not commit are doomed. */
  heartbeat(id: number, info: SessionInfo): Promise<Pulse>;
  endSession(id: number): Promise<void>;
  sessions(): Promise<readonly Session[]>;
  /** From now on others wait until this session has dropped what they change; they learn that it is there by a new entry of the changelog, whose number it answers. */
  join(id: number): Promise<number>;
  peers(): Promise<Peers>;
  /** Everything that others changed up to there is dropped. Of a session that has not joined, or was ended, nothing is noted. */
  acknowledge(id: number, seq: number): Promise<void>;
  /** Asks the session that holds the lease of that file to give it back; false when it is asked already. */
  want(ino: number, holder: number): Promise<boolean>;
  /** Files whose leases this session holds and others want; some of them. */
  wanted(id: number): Promise<readonly number[]>;
  /** Has those look who listen; a hint, that may be lost. Never throws. */
  tell(): void;
  /** Until it is disposed, with the control. Undefined: others cannot be heard this way; those of this machine tell each other by a file besides. */
  listen(onTold: () => void): AsyncDisposable | undefined;
  /** What sessions but this one changed after `seq`. */
  changesSince(seq: number, sessionId: number): Promise<ForeignChanges>;

  /** From the root of the volume, as text; the number where it has no name. Of a file with several names, one of them. */
  pathOf(ino: number): Promise<string>;
  quotas(): Promise<readonly DirectoryQuota[]>;
  /** Counts what lies below the directory now; zero for both limits removes the quota. ENOTDIR, ENOENT as number. */
  setQuota(ino: number, limits: { readonly bytesMax: number; readonly inodesMax: number }): Promise<DirectoryQuota | number | undefined>;
}
