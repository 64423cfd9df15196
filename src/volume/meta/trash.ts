import type { FileKind } from "./attributes.ts";
import type { Answer, Outcome } from "./verbs.ts";

/** Something that was deleted and can be restored. */
export interface TrashEntry {
  readonly ino: number;
  readonly kind: FileKind;
  /** From the root of the volume, one character for each byte: where it was, by the names that its directories have now, or had last. */
  readonly path: string;
  readonly size: number;
  /** That it still counts for capacity and quotas. */
  readonly bytes: number;
  readonly deletedAtMs: number;
}

/**
 * What was deleted and is kept for a time, as the volume says: inodes without a name, that know the directory and the name that they had last. A directory stays
 * for as long as something of it does. Throws like `VolumeVerbs`.
 */
export interface VolumeTrash {
  /** In order of inodes, after `afterIno`; fewer than `countMax` only at the end. */
  list(afterIno: number, countMax: number): Answer<readonly TrashEntry[]>;
  /**
   * Gives it a name again. ENOENT for what is not in the trash, or a directory that is not there; ENOTDIR, EEXIST, EXDEV for a directory into another quota, ENOSPC,
   * EDQUOT, EROFS.
   */
  restore(ino: number, parent: number, name: string): Answer<Outcome>;
  /** For good, once it is closed. ENOENT; ENOTEMPTY for a directory of which something else is in the trash; EROFS. */
  remove(ino: number): Answer<Outcome>;
  /** Removes a part of what has been there for longer than the volume keeps it, and settles; how much of it, zero when nothing is left. */
  expire(): Answer<number>;
}
