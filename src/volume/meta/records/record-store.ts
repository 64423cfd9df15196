/**
 * The narrow port that an engine elsewhere implements for one volume: **records** in **groups**. A record is a key with a value; keys of a group are ordered. All text
 * here has one character for each byte. A group has a version, which is the stamp of the last commit that changed it, and "" where there is none: a group whose
 * version is the same has the same records, and lacks the same. Groups whose names begin with `~` are indexes: they have no version, and who reads them must look
 * again in what they lead to.
 *
 * Throws `volume.unreachable` where it does not answer in time, or refuses; `disk.newer-format`.
 */
export interface RecordStore extends AsyncDisposable {
  /** For messages; without credentials. */
  readonly address: string;
  /** All of it as of one moment. */
  fetch(request: FetchRequest): Promise<Fetched>;
  /** All or nothing, and on the engine's disk when it returns, as far as the engine promises that; false where a version is another one than expected. */
  commit(request: CommitRequest): Promise<boolean>;
  /** All records, as of one moment. */
  scan(): AsyncIterable<StoredRecord>;
  /**
   * Removes all records of the volume but those of the groups to be kept; a repetition goes on where one was ended. With `held`, nothing more once that is so no
   * longer: who holds it is to look again.
   */
  drop(keep: readonly string[], held?: Held): Promise<void>;
  /** Who listens is to look whether there is something new. A hint, that may be lost. */
  tell(): Promise<void>;
  /** Undefined where the engine has no way to push: who waits has to look more often. */
  listen(onTold: () => void): AsyncDisposable | undefined;
}

/** That a group has this version. */
export interface Held {
  readonly group: string;
  readonly version: string;
}

/** One record (`to` is absent), or those with keys in `[key, to)`, in order, at most `countMax`. */
export interface Want {
  readonly group: string;
  readonly key: string;
  readonly to?: string;
  readonly countMax?: number;
}

export interface FetchRequest {
  readonly wants: readonly Want[];
  /** Whose versions are wanted, too. */
  readonly groups: readonly string[];
}

export type Pair = readonly [key: string, value: string];

export interface Fetched {
  /** For each want; a record that is not there is left out. */
  readonly found: readonly (readonly Pair[])[];
  /** For each group. */
  readonly versions: readonly string[];
}

export interface CommitRequest {
  /** Versions that groups must have. */
  readonly checks: readonly (readonly [group: string, version: string])[];
  /** The new version of `touched`; no other commit ever had it. */
  readonly stamp: string;
  readonly touched: readonly string[];
  /** Groups that are removed with all their records and their version. */
  readonly gone: readonly string[];
  readonly puts: readonly StoredRecord[];
  readonly removes: readonly (readonly [group: string, key: string])[];
}

export type StoredRecord = readonly [group: string, key: string, value: string];

export const isIndex = (group: string): boolean => group.startsWith("~");
