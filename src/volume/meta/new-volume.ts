/** What a new volume begins with. */
export interface NewVolume {
  readonly uuid: string;
  /** Zero: no limit. */
  readonly capacityBytes: number;
  /** Zero: no limit. */
  readonly inodesMax: number;
  readonly readOnly: boolean;
  /** Of the root directory. */
  readonly uid: number;
  readonly gid: number;
  readonly permissions: number;
  /** How long what is deleted can be restored; zero, the default: not at all. */
  readonly trashMs?: number;
}

/** Ids of inodes, cookies and blobs start here; what is below is the root, and for numbers that a mount gives itself. */
export const FIRST_ID = 16;
