/** A lock as `fcntl(2)` or `flock(2)` want it. */
export interface LockRequest {
  readonly family: "posix" | "flock";
  readonly type: "read" | "write" | "unlock";
  /** FUSE's lock owner, as any text that tells owners of one session apart. */
  readonly owner: string;
  /** For F_GETLK's answer. */
  readonly pid: number;
  /** First byte; 0 for flock. */
  readonly start: number;
  /** Last byte, inclusive; `LOCK_END` up to the end of the file and for flock. */
  readonly end: number;
}

/** As far as a lock can go; FUSE sends 2^63 - 1, which is taken as this. */
export const LOCK_END = Number.MAX_SAFE_INTEGER;

export interface LockRange {
  /** `unlock`: nothing is in the way. */
  readonly type: "read" | "write" | "unlock";
  readonly start: number;
  readonly end: number;
  /** 0 when the owner is on another machine. */
  readonly pid: number;
}
