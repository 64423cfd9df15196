import type { Attributes } from "../attributes.ts";
import type { Extent, NewBlob } from "../extents.ts";
import type { HeldLock } from "../lock-ranges.ts";
import type { LockRequest } from "../locks.ts";
import type { Outcome } from "../verbs.ts";

/**
 * What an engine keeps of a volume, as the verbs see it: rows, read and changed within one transaction. Everything answers at once. An engine that would have to ask
 * somebody throws; it then runs the verb again, from its beginning, when it has what was missing: until its last table has answered, a verb changes nothing but rows.
 */
export interface Tables {
  readonly nodes: NodeTable;
  readonly edges: EdgeTable;
  /** Of symbolic links. */
  readonly targets: TargetTable;
  /** Content of small files. */
  readonly inline: InlineTable;
  readonly extents: ExtentTable;
  readonly blobs: BlobTable;
  readonly xattrs: XattrTable;
  readonly locks: LockTable;
  readonly leases: LeaseTable;
  readonly kept: KeptTable;
  readonly trash: TrashTable;
  readonly quotas: QuotaTable;
}

/** An inode. Immutable: a change puts another one in its place, so that answers may be handed out as they are. */
export interface Node extends Attributes {
  /** Bytes of content that count for capacity and quotas. */
  readonly allocated: number;
  /** The directory that holds it; of a file with several names, that whose quota it counts for. */
  readonly parent: number;
}

export const blocksOf = (allocated: number): number => Math.ceil(allocated / 512);

export interface NodeTable {
  get(ino: number): Node | undefined;
  put(node: Node): Node;
  /** The last of it: whatever other tables have of it is gone already. */
  remove(ino: number): void;
  /** Those that the entries name will be asked for one by one. */
  expect(parent: number, entries: readonly NamedEdge[]): void;
}

export interface Edge {
  readonly ino: number;
  /** Type bits of the mode, without the permissions: `mode >> 12`. */
  readonly type: number;
  readonly cookie: number;
}

export interface NamedEdge extends Edge {
  readonly name: string;
}

export interface EdgeTable {
  get(parent: number, name: string): Edge | undefined;
  /** False when the name is there already. */
  add(parent: number, name: string, edge: Edge): boolean;
  remove(parent: number, name: string): void;
  hasAny(parent: number): boolean;
  /** In order of their cookies, after `cookie`. */
  list(parent: number, cookie: number, countMax: number): readonly NamedEdge[];
  /** A name of the inode in that directory. */
  nameOf(parent: number, ino: number): string | undefined;
}

export interface TargetTable {
  get(ino: number): string | undefined;
  add(ino: number, target: string): void;
  remove(ino: number): void;
}

export interface InlineTable {
  get(ino: number): Uint8Array | undefined;
  put(ino: number, data: Uint8Array): void;
  /** Whether there was any. */
  remove(ino: number): boolean;
}

export interface ExtentRow {
  readonly position: number;
  readonly length: number;
  readonly blob: number;
  readonly blobOffset: number;
}

export interface ExtentTable {
  /** Those that reach into `[from, to)`, in order. */
  touching(ino: number, from: number, to: number): readonly ExtentRow[];
  /** The same, with their blobs. */
  withBlobs(ino: number, from: number, to: number): readonly Extent[];
  first(ino: number, countMax: number): readonly ExtentRow[];
  add(ino: number, row: ExtentRow): void;
  remove(ino: number, position: number): void;
}

/** Written beforehand, so that no object is ever without a row. */
export const BLOB_PENDING = 0;
/** Extents refer to it. */
export const BLOB_LIVE = 1;
/** Nothing refers to it since then. */
export const BLOB_DOOMED = 2;
/** Its object is being deleted; nothing can refer to it any more. */
export const BLOB_DELETING = 3;

/** The ledger, as far as verbs write it. */
export interface BlobTable {
  /** Enters one as PENDING. */
  reserve(id: number, blob: NewBlob, session: number, nowMs: number): void;
  state(id: number): number | undefined;
  /** So many extents more or less; LIVE while there are any, else DOOMED. */
  refer(id: number, by: number, nowMs: number): void;
  /** That a file's extents name, and other sessions entered or made LIVE since. */
  foreign(
    ino: number,
    session: number,
    sinceMs: number,
  ): readonly { readonly id: number; readonly sha256: string; readonly bytes: number }[];
}

export interface XattrTable {
  get(ino: number, name: string): Uint8Array | undefined;
  /** In order. */
  list(ino: number): readonly string[];
  /** Bytes of all names and values. */
  total(ino: number): number;
  put(ino: number, name: string, value: Uint8Array): void;
  /** Whether there was one. */
  remove(ino: number, name: string): boolean;
  clear(ino: number): void;
}

export interface LockTable {
  /** In order of their starts. */
  held(ino: number, family: LockRequest["family"]): readonly HeldLock[];
  /** What an owner holds from now on. */
  replace(ino: number, of: Pick<LockRequest, "family" | "owner">, session: number, next: readonly HeldLock[]): void;
  clear(ino: number): void;
}

export interface LeaseTable {
  /** The living session that holds the file. */
  holder(ino: number): number | undefined;
  put(ino: number, session: number): void;
  remove(ino: number, session: number): void;
  /** When that session began, or was revived; undefined: it does not live. */
  startedMs(session: number): number | undefined;
}

/** Inodes without a name that are kept for a session, which has them open, or may have. */
export interface KeptTable {
  /** For all living sessions but this one; how many that are. */
  addForOthers(ino: number, session: number): number;
  add(ino: number, session: number): void;
  remove(ino: number, session: number): void;
  /** For whomever. */
  has(ino: number): boolean;
  /** Some of them. */
  of(session: number): readonly number[];
}

export interface TrashRow {
  readonly ino: number;
  readonly parent: number;
  readonly name: string;
  readonly deletedMs: number;
}

export interface TrashTable {
  get(ino: number): TrashRow | undefined;
  add(row: TrashRow): void;
  remove(ino: number): void;
  hasAnyOf(parent: number): boolean;
  /** In order of inodes. */
  list(afterIno: number, countMax: number): readonly TrashRow[];
  /** Of which nothing else in the trash was in it; the oldest first. */
  old(untilMs: number, countMax: number): readonly number[];
}

export interface QuotaRow {
  readonly ino: number;
  readonly bytesMax: number;
  readonly inodesMax: number;
  readonly usedBytes: number;
  readonly usedInodes: number;
}

export interface QuotaTable {
  all(): readonly QuotaRow[];
  update(ino: number, usedBytes: number, usedInodes: number): void;
  remove(ino: number): void;
}

/** The row of the volume, as far as verbs need it. */
export interface VolumeRow {
  readonly uuid: string;
  readonly state: string;
  readonly epoch: number;
  readonly readOnly: boolean;
  readonly capacityBytes: number;
  readonly inodesMax: number;
  usedBytes: number;
  usedInodes: number;
  /** Directories with a quota. */
  readonly quotas: number;
  /** Living sessions; with more than one, changes are told to the others. */
  readonly sessions: number;
  /** How long what is deleted can be restored; zero: not at all. */
  readonly trashMs: number;
}

/** The transaction of the verb that runs now, or of several of them. */
export interface Turn {
  /** Once `read` or `change` was called; the counters are the verb's to change after the latter. */
  readonly volume: VolumeRow;
  /** For verbs that only read. Throws `volume.not-exist`. */
  read(): void;
  /** For verbs that change something: EROFS where nothing may change, ENOSPC where the engine has no room. Throws `volume.not-exist`, `volume.unreachable`. */
  change(adds: boolean): Outcome;
  /** An inode number, a cookie or a blob that nothing had before. Only after `change`. */
  takeId(): number;
  /** Others see what was done up to here, and with `durable` it stays through a loss of power. */
  settle(durable: boolean): void;
  /** Whether others live, so that nothing that was read before the verb began is to be believed. */
  share(shared: boolean): void;
}
