import type { Bitmap, Digest } from "../model/piece.ts";
import type { TaskId } from "../model/ids.ts";
import type { ByteRange, TaskMeta, TrafficType } from "../model/types.ts";
import type { OutsideReason } from "./in-use.ts";

/** Why a task may not be collected or removed just now; the label shown to a person. */
export type InUseReason = "download" | "upload" | "proxy-read" | "hard-link" | "export" | "pin" | OutsideReason;

/**
 * `partial`: pieces are missing, or the digest is not yet known to agree. `verifying`: pieces kept from before a restart are being read
 * again; those are held one by one as their checksum agrees. `finished`: all is here and the digest agrees.
 */
export type StoredState = "partial" | "verifying" | "finished";

/** Content on this machine: one file per task, written at offsets, and a durable record of which pieces are in it. */
export interface PieceStore extends AsyncDisposable {
  /** Every task on disk, in no order. */
  list(): readonly StoredTask[];
  find(id: TaskId): StoredTask | undefined;
  /**
   * The task of this id, made if it is new. Space for what is missing is reserved first, evicting what is not in use, and waiting for a while
   * where other downloads have it; it stays reserved until the task is finished, failed, or has lost its last `download` lease. Pieces kept from before a restart are verified when this resolves.
   * A digest in `meta` is checked against a finished task and remembered for a partial one that is not being downloaded.
   * Throws `disk.full` when space does not suffice, `input.invalid` when the task exists with another length, piece length or digest,
   * `task.digest-mismatch` when finished content has another digest (it is kept).
   */
  open(meta: TaskMeta, signal?: AbortSignal): Promise<StoredTask>;
  /**
   * As `open`, for the whole content of a new task, which is short: its pieces, read from the source, are held when this resolves. Undefined, and nothing
   * done, when there is such a task. Throws `disk.full`, `disk.io`, the signal's reason.
   */
  keep(meta: TaskMeta, content: Uint8Array, signal: AbortSignal): Promise<StoredTask | undefined>;
  /**
   * Takes over a complete file (same file system: by rename), computing its piece checksums and checking its digest; resolves with
   * a finished task. On failure the file stays the caller's. Throws `task.in-use` when the task is being written already,
   * `task.digest-mismatch`, `input.invalid` (another length), `disk.full`, `disk.io`.
   */
  adopt(meta: TaskMeta, path: string): Promise<StoredTask>;
  /** A fresh path for content of unknown length on the store's own file system; removed at the next start if left behind. */
  spoolPath(): string;
  /**
   * Deletes a task. Throws `task.not-found`, or `task.in-use` with the reasons. `ignore` names reasons that do not count: a person who
   * removes a task may well keep the hard link that was made from it.
   */
  remove(id: TaskId, options?: { readonly ignore?: readonly InUseReason[] }): Promise<void>;
  /**
   * Keeps a task until this moment (Unix time in milliseconds), or with `PINNED_FOR_GOOD` until it is unpinned: durable when this resolves. An earlier
   * pin is replaced. Throws `task.not-found`, `disk.full`, `disk.io`.
   */
  pin(id: TaskId, untilMs: number): Promise<void>;
  unpin(id: TaskId): Promise<void>;
  /** What the periodic collection does, now, and what became of each task. */
  collect(options?: CollectOptions): Promise<Collection>;
  usage(): Promise<StoreUsage>;
  /** Asks containers and mounts what they use, so that each task's `inUse` is of now. */
  askInUse(): Promise<void>;
  /** Aborts, with `disk.io`, when nothing can be recorded any more until the store is opened anew by another process. */
  readonly broken: AbortSignal;
  /** Called after a task was evicted or removed, and at once for each piece that is held, before it is durable. */
  readonly events: StoreEvents;
}

/** Later than any date that JavaScript or SQLite knows. */
export const PINNED_FOR_GOOD = Number.MAX_SAFE_INTEGER;

export interface CollectOptions {
  /** Nothing is deleted. */
  readonly dryRun?: boolean;
  /** So much goes in any case, if it is not in use. */
  readonly freeBytes?: number;
}

export interface Collection {
  /** What had to go: asked for, or over the limits. Expired tasks go besides. */
  readonly neededBytes: number;
  /** What became free, or with `dryRun` would. */
  readonly freedBytes: number;
  /** Every task, those that go first. */
  readonly verdicts: readonly Verdict[];
}

export interface Verdict {
  readonly id: string;
  readonly url: string;
  /** On the disk. */
  readonly heldBytes: number;
  readonly accessedAtMs: number;
  /** `expired`, `space`: it goes, for this reason. */
  readonly verdict: "expired" | "space" | "in-use" | "not-needed";
  readonly inUse: readonly InUseReason[];
  /** Which containers and mounts these are. */
  readonly usedBy: readonly string[];
}

export interface StoreEvents {
  onRemoved(listen: (id: TaskId) => void): Disposable;
  /** Listeners must not throw. */
  onPiece(listen: (task: StoredTask, index: number) => void): Disposable;
  /** Called for each piece that is held no more while its task stays, since it was damaged. Listeners must not throw. */
  onDropped(listen: (task: StoredTask, index: number) => void): Disposable;
  /** Called when somebody begins to wait for a piece that is not held. Listeners must not throw. */
  onWanted(listen: (task: StoredTask, index: number) => void): Disposable;
}

export interface StoreUsage {
  readonly taskCount: number;
  readonly storedBytes: number;
  readonly reservedBytes: number;
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
  readonly inodesTotal: number;
  readonly inodesFree: number;
}

export interface PieceInfo {
  readonly index: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** IEEE CRC-32 of the piece's bytes. */
  readonly crc32: number;
  readonly traffic: TrafficType;
  readonly parentId: string;
  readonly createdAtMs: number;
}

export interface StoredTask {
  readonly meta: TaskMeta;
  readonly state: StoredState;
  /** Path of the content file; its bytes are right only where `finished` says so. */
  readonly path: string;
  /** Tries to make `path` another name of the content file, where that costs less than to export it; false: export it. Replaces nothing. */
  linkTo(path: string): Promise<boolean>;
  /** Open for reading; for `sendfile`. Use it only while you hold a lease, and ask anew for each use: idle files are closed. Throws `disk.io`. */
  readonly fd: number;
  /** The pieces held; never written through by others. Ask anew for each use: it is another object after a piece was dropped. */
  readonly finished: Readonly<Pick<Bitmap, "has" | "count" | "full" | "length" | "firstMissing" | "toBytes">>;
  /** Bytes of the pieces held. */
  readonly heldBytes: number;
  readonly createdAtMs: number;
  readonly accessedAtMs: number;
  readonly finishedAtMs: number | undefined;
  readonly bytesFrom: Readonly<Record<TrafficType, number>>;
  readonly uploadedBytes: number;
  /** It is pinned until then, or with `PINNED_FOR_GOOD` until it is unpinned. */
  readonly pinnedUntilMs: number | undefined;
  piece(index: number): PieceInfo | undefined;
  /** Starts to write a piece. A piece may have several writers; the first that finishes wins, the others are told `duplicate`. */
  writePiece(options: {
    readonly index: number;
    readonly expectedCrc32?: number | undefined;
    readonly traffic: TrafficType;
    readonly parentId: string;
  }): PieceWriter;
  /** Resolves when the piece is held; rejects with the task's failure or the signal's reason. */
  waitForPiece(index: number, signal: AbortSignal): Promise<void>;
  /**
   * Resolves when all pieces are held and the digest agrees, which may be before they are durable; rejects as `waitForPiece`. Needs somebody to
   * call `finish`.
   */
  waitUntilVerified(signal: AbortSignal): Promise<void>;
  /** Reads into `into` from a place inside finished pieces; returns the number of bytes read. */
  read(options: { readonly offsetBytes: number; readonly into: Uint8Array }): Promise<number>;
  /**
   * The bytes of a range in order, each chunk valid until the next is asked for, waiting for pieces that are still on their way.
   * Where the task names a digest, the last piece is held back until the whole content is verified.
   */
  stream(range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * Resolves once all pieces are held, the digest agrees and everything is durable, which follows later without `syncOnFinish`. Throws
   * `task.digest-mismatch`, and `disk.io` or `disk.full` when the disk lost some of it (all pieces are dropped then).
   */
  finish(signal: AbortSignal): Promise<void>;
  /** Ends every waiter and stream with this error and the reservation of space; the pieces held stay. */
  fail(error: Error): void;
  /** Reads a held piece again, for a reader that doubts it; it is dropped when its checksum does not agree (the task is partial then). */
  quarantinePiece(index: number): Promise<"intact" | "dropped">;
  /** The digest of finished content, without the algorithm's name. Throws `piece.not-found` when pieces are missing. */
  digestOf(algorithm: Digest["algorithm"], signal: AbortSignal): Promise<string>;
  /** Keeps the task from being collected until disposed; also counts as an access. */
  lease(reason: InUseReason): Disposable;
  /** Containers and mounts are those of when they were last asked for: by `askInUse`, and before a collection or a removal. */
  readonly inUse: readonly InUseReason[];
  addUploadedBytes(bytes: number): void;
}

export interface PieceWriter {
  /** What was written is in the content file, where others may read it; false while another writer has that place. */
  readonly inPlace: boolean;
  /**
   * Appends to the piece. The chunk belongs to the writer until the promise settles. Throws `disk.full`, `disk.io`, `piece.digest-mismatch` (too
   * long).
   */
  write(chunk: Uint8Array): Promise<void>;
  /** The same where that takes no waiting, without the cost of it; false where it does: nothing was appended then. */
  writeNow(chunk: Uint8Array): boolean;
  /** Checks length and checksum, makes the piece visible, and durable in the next batch. Throws `piece.digest-mismatch`. */
  finish(): Promise<"stored" | "duplicate">;
  /** Forgets what was written, so that the piece can be fetched again; what `finish` has begun ends by itself. */
  abort(): void;
}
