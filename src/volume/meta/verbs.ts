import type { FileMap, NewBlob, WrittenExtent } from "./extents.ts";
import type { LockRange, LockRequest } from "./locks.ts";
import type { Attributes, AttributeChange, FileKind } from "./attributes.ts";

/**
 * What a verb answers: the value itself where the engine is in this process (SQLite), a promise of it where the engine is elsewhere (PostgreSQL, Redis
 * protocol, etcd). Callers on a hot path look with `isPending` and go on at once when they can; all others may simply `await` it.
 */
export type Answer<T> = T | Promise<T>;

export const isPending = <T>(answer: Answer<T>): answer is Promise<T> => answer instanceof Promise;

/** A Linux error number above zero, from `constants.errno` of `node:os`. */
export type Errno = number;

/** What a verb without a value answers: 0 when it was done, else an Errno. */
export type Outcome = number;

/** A value, or the error number that took its place. */
export const failed = (answer: object | string | Errno): answer is Errno => typeof answer === "number";

/** Inode number of the root directory, as FUSE has it. */
export const ROOT_INO = 1;
/** See `VolumeVerbs.asRequest`. */
export const NO_REQUEST = -1;
/** Longest name of a directory entry, in bytes. */
export const NAME_BYTES_MAX = 255;
/** Longest target of a symbolic link, in bytes (PATH_MAX with its ending NUL). */
export const TARGET_BYTES_MAX = 4095;
/** Cookies of entries are at least this large; below it a mount numbers `.` and `..` as it likes. */
export const COOKIE_MIN = 16;

/**
 * Metadata of one volume: everything that a mount, the S3 gateway and the tools do to it, as operations that each happen wholly or not at all.
 *
 * - **Names** (entries, targets, extended attributes) hold one character for each byte (see `base/latin1`): a file name may be any bytes but NUL and `/`.
 * - **Permissions** are checked by who calls (the kernel with `default_permissions`, sticky bit included); the verbs know only owners of what is created.
 * - **Expected failures** are error numbers: `Attributes | Errno`, or 0 and numbers above for verbs without a value.
 * - **Everything else is thrown** (or rejects), as AnaxError: `volume.not-exist` (its details carry `wireCode: 100404`, `volume`, `epoch`) once the volume is
 *   deleted, for good; `volume.unreachable`, `disk.full`, `disk.io` when the engine does not answer now. Throwing verbs have changed nothing, but with
 *   `volume.unreachable` of an engine elsewhere that is not sure: see `asRequest`.
 *   A volume in its undelete window answers changes with EROFS.
 * - **When it counts**: what a verb did, this object's later verbs see. Others see it, and the death of this process leaves it, after `settle()`;
 *   a loss of power leaves it after `settle` with `durable`. An engine settles by itself after so many verbs or milliseconds, but SQLite keeps other writers
 *   of the volume out meanwhile: **a thread that is about to wait for its next request calls `settle()` first**, when nothing else is there to be done. A
 *   commit costs about five times as much as the change: a thread that can wait with a deadline does better to settle only when nothing came for a millisecond.
 */
export interface VolumeVerbs extends AsyncDisposable {
  /** Of the volume that these verbs speak to. */
  readonly volumeUuid: string;
  /** Where `open`, locks and blobs of this object are noted: see `VolumeSessions`. */
  readonly sessionId: number;

  /**
   * The verbs from now on, until the next call of this, are called for that request (NO_REQUEST: for none). Of a verb that has thrown nobody may know whether it
   * was done: called again with the same arguments for the same request it answers as it did the first time, and is done once. For another request it is another call.
   */
  asRequest(id: number): void;

  /** ENOENT, ENOTDIR, ENAMETOOLONG. */
  lookup(parent: number, name: string): Answer<Attributes | Errno>;
  /** ENOENT. Also of a file that is open but has no name left. */
  getattr(ino: number): Answer<Attributes | Errno>;
  /**
   * chmod, chown, utimes and truncate in one; answers the attributes after it. ENOENT, EISDIR and EINVAL for a size of what is no file, EFBIG, ENOSPC, EDQUOT, EROFS.
   * For a size use `VolumeFiles.setattr`, which knows what is not written yet.
   */
  setattr(ino: number, change: AttributeChange): Answer<Attributes | Errno>;
  /**
   * mknod, create, mkdir and symlink. In a directory with setgid the group is the directory's, and a new directory gets setgid, too.
   * EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG, EMLINK, ENOSPC (capacity or inodes of the volume), EDQUOT (of a directory), EROFS.
   */
  create(parent: number, name: string, node: NewNode): Answer<Attributes | Errno>;
  /** Removes a name of anything but a directory. ENOENT, ENOTDIR, EISDIR, EROFS. What is open lives on without a name until it is closed. */
  unlink(parent: number, name: string): Answer<Outcome>;
  /** ENOENT, ENOTDIR, ENOTEMPTY, EROFS. */
  rmdir(parent: number, name: string): Answer<Outcome>;
  /**
   * `flags` as in renameat2: RENAME_NOREPLACE 1 (EEXIST), RENAME_EXCHANGE 2 (ENOENT where there is nothing to exchange with); others EINVAL.
   * Two names of one file: nothing happens, successfully. ENOENT, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL (into itself), EXDEV (into another directory quota), EMLINK,
   * ENAMETOOLONG, EROFS.
   */
  rename(parent: number, name: string, newParent: number, newName: string, flags: number): Answer<Outcome>;
  /** A further name; answers the attributes after it. EEXIST, EPERM for directories, EMLINK, ENOENT (also of a file without a name), EXDEV, EROFS. */
  link(ino: number, newParent: number, newName: string): Answer<Attributes | Errno>;
  /** EINVAL for what is no symbolic link, ENOENT. */
  readlink(ino: number): Answer<string | Errno>;
  /**
   * At most `countMax` entries behind `cookie` (0: from the start), without `.` and `..`; fewer only at the end. What exists all the time is seen exactly once,
   * whatever else comes and goes meanwhile. With `attributes` each entry carries them (readdirplus). ENOENT, ENOTDIR.
   */
  readdir(ino: number, cookie: number, countMax: number, attributes: boolean): Answer<readonly DirectoryEntry[] | Errno>;

  /** ENODATA, ENOENT. */
  getxattr(ino: number, name: string): Answer<Uint8Array | Errno>;
  /** `flags` as in setxattr(2): XATTR_CREATE 1 (EEXIST), XATTR_REPLACE 2 (ENODATA). ERANGE for a long name, E2BIG for a value above 64 KiB, ENOSPC above 1 MiB in all. */
  setxattr(ino: number, name: string, value: Uint8Array, flags: number): Answer<Outcome>;
  listxattr(ino: number): Answer<readonly string[] | Errno>;
  /** ENODATA, ENOENT. */
  removexattr(ino: number, name: string): Answer<Outcome>;

  /** What stands in the way of the lock, or `undefined` kind: F_GETLK. */
  getlk(ino: number, request: LockRequest): Answer<LockRange | Errno>;
  /**
   * Takes or releases (`type: "unlock"`) a POSIX or flock lock without waiting; EAGAIN while another owner of any session is in the way. A mount that waits
   * (F_SETLKW) asks again after its own unlocks, after events of `VolumeWatch`, and at latest each second; it finds deadlocks itself. ENOLCK above 4,096 ranges.
   */
  setlk(ino: number, request: LockRequest): Answer<Outcome>;

  /** Notes that the file is open here, so that it outlives its last name; as many `close` as `open`. No round trip. ENOENT for what is gone. */
  open(ino: number): Answer<Outcome>;
  /** The last one removes a file without names, and what it occupied. */
  close(ino: number): Answer<Outcome>;

  /** Which content lies where in `[offset, offset + length)`: for `VolumeFiles`. ENOENT, EISDIR. */
  extents(ino: number, offset: number, length: number): Answer<FileMap | Errno>;
  /** Enters blobs into the ledger as PENDING **and settles**, before any object of theirs exists; their ids in the same order. ENOSPC, EROFS. */
  reserveBlobs(blobs: readonly NewBlob[]): Answer<readonly number[] | Errno>;
  /**
   * New content, in one transaction: the volume's epoch is still that of the session, blobs become LIVE, extents replace what they cover, size, times,
   * quotas. Either `inline` (all of a file of at most 4 KiB) or `extents`; a file that was inline is not after extents, so they must cover what it had.
   * Answers the attributes after it. ENOENT, EISDIR, EINVAL, ENOSPC, EDQUOT, EROFS, EIO when the session was taken for dead since it began.
   */
  commit(ino: number, written: WrittenContent): Answer<Attributes | Errno>;
  /** Makes `[offset, offset + length)` a hole; `keepSize` is always meant. Answers the attributes after it. EISDIR, ENOENT, EROFS. */
  punch(ino: number, offset: number, length: number): Answer<Attributes | Errno>;
  /** fallocate(2) without punching: reserves nothing, but grows the file unless `keepSize`, after a look at capacity and quotas. EFBIG, ENOSPC, EDQUOT, EROFS. */
  allocate(ino: number, offset: number, length: number, keepSize: boolean): Answer<Attributes | Errno>;

  statfs(): Answer<VolumeUsage>;

  /** Ends the group of changes that is open: see above. `durable` waits until it is on the disk to stay. Nothing to do costs nothing. */
  settle(durable: boolean): Answer<void>;
}

export interface NewNode {
  readonly kind: FileKind;
  /** Permission bits with setuid, setgid and sticky; the caller has applied its umask. */
  readonly permissions: number;
  readonly uid: number;
  readonly gid: number;
  /** Of character and block devices: Linux's encoding as FUSE sends it. */
  readonly rdev?: number;
  /** Of a symbolic link. */
  readonly target?: string;
  /** The session holds it from its beginning: see `LeaseVerbs`. */
  readonly leased?: boolean;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly ino: number;
  readonly kind: FileKind;
  /** Goes on behind this entry; at least COOKIE_MIN. */
  readonly cookie: number;
  readonly attributes: Attributes | undefined;
}

export interface WrittenContent {
  /** Size of the file after it, when that is larger than before; never shrinks it. */
  readonly size: number;
  /** Time of the last write. */
  readonly mtimeMs: number;
  readonly inline?: Uint8Array;
  readonly extents?: readonly WrittenExtent[];
  /** Gives the lease of the file back: see `LeaseVerbs`. */
  readonly release?: boolean;
}

export interface VolumeUsage {
  /** Changes get EROFS now. */
  readonly readOnly: boolean;
  /** Zero: as much as there is room for. */
  readonly capacityBytes: number;
  readonly usedBytes: number;
  /** Zero: no limit. */
  readonly inodesMax: number;
  readonly usedInodes: number;
}

export type { Attributes, AttributeChange, FileKind, FileMap, LockRange, LockRequest, NewBlob, WrittenExtent };
