export type FileKind = "file" | "directory" | "symlink" | "fifo" | "socket" | "char" | "block";

/** What stat(2) tells. Times are seconds and nanoseconds apart, since nanoseconds since 1970 do not fit a number. */
export interface Attributes {
  readonly ino: number;
  readonly kind: FileKind;
  /** Kind and permission bits, as in `st_mode`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly nlink: number;
  readonly size: number;
  /** Allocated 512-byte units: what content occupies, holes excepted. */
  readonly blocks: number;
  readonly atimeSec: number;
  readonly atimeNsec: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
}

export interface TimeValue {
  readonly sec: number;
  readonly nsec: number;
}

/** What is absent stays as it is; ctime always becomes now, unless it is given (a kernel with its own write-back cache sends it). */
export interface AttributeChange {
  /** All of 07777. */
  readonly permissions?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly atime?: TimeValue | "now";
  readonly mtime?: TimeValue | "now";
  readonly ctime?: TimeValue;
}

const TYPE_BITS: Readonly<Record<FileKind, number>> = {
  fifo: 0o010000,
  char: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
};

const KINDS = new Map(Object.entries(TYPE_BITS).map(([kind, bits]) => [bits, kind as FileKind])); // the table's own keys

/** The type bits of `st_mode`. */
export const typeBitsOf = (kind: FileKind): number => TYPE_BITS[kind];

/** The kind that the type bits of `st_mode` name, if they name one. */
export const kindOfMode = (mode: number): FileKind | undefined => KINDS.get(mode & 0o170000);
