import type { Blob } from "./extents.ts";

export interface CollectRule {
  /** Blobs that have been doomed for this long. */
  readonly graceMs: number;
  readonly countMax: number;
}

/** Something that is not as it must be. */
export interface Flaw {
  /** A constant name for programs. */
  readonly kind:
    | "blob-references"
    | "blob-missing"
    | "blob-damaged"
    | "extent-overlap"
    | "extent-outside-blob"
    | "extent-without-blob"
    | "entry-without-inode"
    | "inode-without-entry"
    | "link-count"
    | "allocated-bytes"
    | "used-bytes"
    | "used-inodes"
    | "quota-usage"
    | "trash-entry"
    | "trash-place";
  /** Inode, blob, or another number that it is about. */
  readonly id: number;
  readonly found: number;
  readonly expected: number;
}

/**
 * The ledger of a volume's blobs: the only thing that decides what may be deleted. Throws like `VolumeControl`; nothing is half done then.
 */
export interface VolumeLedger extends AsyncDisposable {
  /** Dooms blobs that were entered by sessions that are no more, and committed by nobody within `graceMs`. How many. */
  doomAbandoned(graceMs: number): Promise<number>;
  /**
   * Takes doomed blobs for deletion, in one transaction that looks again whether anything refers to them: doomed for the whole grace, and every session that lives
   * has been heard of since. From then on nothing can refer to them. Blobs that an earlier run took and did not finish come first.
   */
  claim(rule: CollectRule): Promise<readonly Blob[]>;
  /** Their objects are gone: so are their rows. */
  forget(ids: readonly number[]): Promise<void>;
  /** Those of `ids` that the ledger has, in whatever state, with their digests. */
  known(ids: readonly number[]): Promise<ReadonlyMap<number, string>>;
  /** Blobs that files refer to, in order of their ids, after `afterId`. */
  live(afterId: number, countMax: number): Promise<readonly Blob[]>;
  /** All blobs that were ever entered and are not forgotten, in whatever state, in order of their ids, after `afterId`. */
  entered(afterId: number, countMax: number): Promise<readonly Blob[]>;
  /** Removes a part of what has been in the trash for longer than the volume keeps it; how much of it, zero when nothing is left. */
  expireTrash(): Promise<number>;
  /** Removes a part of what is large, has no name and is open nowhere; false when nothing of it is left. */
  removeOrphans(): Promise<boolean>;
  count(): Promise<LedgerCount>;
  /** Compares everything that is counted with what it counts; at most `countMax` flaws. */
  check(countMax: number): Promise<readonly Flaw[]>;
  /** Counts anew what is only counted: references, links, sizes and usage. */
  recount(): Promise<void>;
}

export interface LedgerCount {
  readonly pending: number;
  readonly live: number;
  readonly liveBytes: number;
  readonly doomed: number;
  readonly doomedBytes: number;
  readonly deleting: number;
  readonly inodes: number;
  readonly directories: number;
  readonly extents: number;
  /** Without a name, open or waiting to be removed. */
  readonly nameless: number;
  /** What can be restored. */
  readonly trash: number;
  readonly trashBytes: number;
}
