import type { VolumeData } from "../data/volume-data.ts";

/**
 * - `active`: in use.
 * - `deleting`: marked; reads go on and changes get EROFS until `purgeAtMs`; can be undeleted.
 * - `purging`: its content is being removed; nobody reads it any more.
 * - `deleted`: only the tombstone is left, for good.
 */
export type VolumeState = "active" | "deleting" | "purging" | "deleted";

/** What every reply about a volume that is gone carries; compared as a number. */
export const VOLUME_NOT_EXIST = 100_404;

export interface VolumeRecord {
  readonly uuid: string;
  readonly name: string;
  readonly owner: string;
  readonly state: VolumeState;
  /** Grows with every change of state; a writer with an older one is refused. */
  readonly epoch: number;
  readonly readOnly: boolean;
  /** Zero: no limit. */
  readonly capacityBytes: number;
  /** Zero: no limit. */
  readonly inodesMax: number;
  /** What its clients do when it is marked as deleted: leave at once, or read on until it is purged. */
  readonly onDelete: "detach-now" | "at-purge";
  /** How long it can be undeleted. */
  readonly undeleteMs: number;
  /** How long what is deleted in it can be restored; zero: not at all. */
  readonly trashMs: number;
  readonly createdAtMs: number;
  /** Where its content lies; for good. */
  readonly data: VolumeData;
  /** Of the states after `active`. */
  readonly deletedAtMs: number | undefined;
  readonly purgeAtMs: number | undefined;
  readonly deletedBy: string | undefined;
}

/** Positive proof that a volume is gone; never inferred from an absence. */
export interface Tombstone {
  readonly uuid: string;
  readonly epoch: number;
  readonly deletedAtMs: number;
  readonly deletedBy: string;
}
