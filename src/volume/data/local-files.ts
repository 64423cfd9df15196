import { constants } from "node:os";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { FILE_BYTES_MAX, INLINE_BYTES_MAX, type Blob, type FileMap } from "../meta/extents.ts";
import type { EngineVerbs } from "../meta/rules/verbs-on.ts";
import type { Attributes, AttributeChange, Errno, Outcome } from "../meta/verbs.ts";
import { orIfAwaiting, type Awaiting } from "./awaiting.ts";
import type { InlineBlobs } from "./blob-store.ts";
import { storeRanges } from "./blob-writer.ts";
import { DirtyFile } from "./dirty-file.ts";
import type { DirtyRange } from "./dirty-ranges.ts";
import { SlotBuffers } from "./slot-buffers.ts";
import type { VolumeFiles } from "./volume-files.ts";

const { EFBIG, EINVAL, EIO, ENOENT, ENOSPC, ENXIO, EOPNOTSUPP, EROFS } = constants.errno;

const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const ZERO_RANGE = 16;
const SEEK_DATA = 3;
/** Parts of a file that `seek` looks at in one go. */
const SEEK_WINDOW = 64 * 1024 * 1024;
/** Blobs that nothing refers to yet, of one file. */
const STORED_MAX = 256;
/** Separate writes of one file that wait. */
const RANGES_MAX = 4096;
/** Blobs that `writeBack` flushes in one go: each costs the disk's time. */
const SYNC_MAX = 64;

/** Not of the disk: of a volume that is gone, or cannot be reached, and of a file that somebody else holds. */
const PASSED_ON: ReadonlySet<string> = new Set(["volume.not-exist", "volume.unreachable", "volume.leased"]);

interface LocalFilesOptions {
  readonly verbs: EngineVerbs;
  readonly blobs: InlineBlobs;
  readonly clock: Clock;
  /** Memory for what is written and lies in no blob yet. */
  readonly bufferBytesMax: number;
  /** Content that does not match its digest, or is missing: a person must know. */
  readonly onDamage: (ino: number, error: AnaxError) => void;
}

/** Content over a local engine and blobs at hand: everything answers at once, or throws `Awaiting` where blobs do. */
export class LocalFiles implements VolumeFiles {
  readonly #verbs: EngineVerbs;
  readonly #blobs: InlineBlobs;
  readonly #options: LocalFilesOptions;
  /** In order of their oldest write. */
  readonly #dirty = new Map<number, DirtyFile>();
  readonly #opens = new Map<number, number>();
  /** Failures that nobody has heard of yet, by inode. */
  readonly #failures = new Map<number, Errno>();
  /** Committed, but not flushed to the disk. */
  readonly #unsynced = new Map<number, Blob[]>();
  readonly #buffers = new SlotBuffers();
  #bufferBytes = 0;
  /** In blobs that are not committed. */
  #storedBytes = 0;
  #discarded = false;

  constructor(options: LocalFilesOptions) {
    this.#options = options;
    this.#verbs = options.verbs;
    this.#blobs = options.blobs;
  }

  open(ino: number): Outcome {
    if (this.#discarded) return EIO;
    const outcome = this.#verbs.open(ino);
    if (outcome === 0) this.#opens.set(ino, (this.#opens.get(ino) ?? 0) + 1);
    return outcome;
  }

  read(ino: number, offset: number, into: Uint8Array): number {
    if (this.#discarded) return -EIO;
    const map = this.#verbs.extents(ino, offset, into.length);
    if (typeof map === "number") return -map;
    const file = this.#dirty.get(ino);
    const size = file === undefined ? map.size : Math.max(map.size, file.size);
    const length = Math.min(into.length, Math.max(0, size - offset));
    if (length === 0) return 0;
    const target = length === into.length ? into : into.subarray(0, length);
    try {
      this.#fill(map, offset, target);
      if (file !== undefined) {
        for (const part of file.stored) this.#copy(part, offset, target);
        file.ranges.overlay(offset, target);
      }
      return length;
    } catch (error) {
      if (!(error instanceof AnaxError)) throw error;
      this.#options.onDamage(ino, error);
      return -EIO;
    }
  }

  write(ino: number, offset: number, bytes: Uint8Array): Outcome {
    if (this.#discarded) return EIO;
    if (offset + bytes.length > FILE_BYTES_MAX) return EFBIG;
    const { capacityBytes, usedBytes, readOnly } = this.#verbs.statfs();
    if (readOnly) return EROFS;
    const before = this.#dirty.get(ino);
    if (before?.overlapsStored(offset, offset + bytes.length) || (before?.ranges.count ?? 0) >= RANGES_MAX) {
      const outcome = this.#commit(ino);
      if (outcome !== 0) return outcome;
    }
    const file = this.#dirtyFile(ino);
    const held = file.ranges.bytes;
    file.ranges.write(offset, bytes);
    file.size = Math.max(file.size, offset + bytes.length);
    file.mtimeMs = this.#options.clock.wallMs();
    this.#bufferBytes += file.ranges.bytes - held;
    const outcome = this.#storeFull(file, offset) || this.#storeFull(file, offset + bytes.length - 1);
    if (outcome !== 0) return outcome;
    // As long as there is room anyway, nobody has to know yet whether this replaces something.
    if (capacityBytes > 0 && usedBytes + this.#bufferBytes + this.#storedBytes > capacityBytes) return this.#commitAll();
    return this.#bufferBytes > this.#options.bufferBytesMax ? this.#commitAll() : 0;
  }

  flush(ino: number): Outcome {
    return this.#flush(ino, this.#verbs.leases.holds(ino));
  }

  fsync(ino: number): Outcome {
    const outcome = this.#flush(ino, false);
    if (outcome !== 0) return outcome;
    return this.#attempt(() => {
      this.#sync(ino);
      const foreign = this.#verbs.foreignBlobs(ino);
      if (foreign.length > 0) this.#blobs.sync(foreign);
      this.#verbs.settle(true);
      return 0;
    });
  }

  close(ino: number): Outcome {
    const outcome = orIfAwaiting(
      () => this.flush(ino),
      () => 0, // `writeBack` goes on with it
    );
    const left = (this.#opens.get(ino) ?? 1) - 1;
    if (left > 0) this.#opens.set(ino, left);
    else {
      this.#opens.delete(ino);
      // Nobody is left who could make room and try again, and who wrote it has just been told.
      const dirty = this.#dirty.get(ino);
      if (outcome !== 0 && dirty !== undefined) this.#drop(dirty);
    }
    const closed = this.#verbs.close(ino);
    return outcome === 0 ? closed : outcome;
  }

  current(attributes: Attributes): Attributes {
    const file = this.#dirty.get(attributes.ino);
    if (file === undefined) return attributes;
    const mtimeSec = Math.floor(file.mtimeMs / 1000);
    return {
      ...attributes,
      size: Math.max(attributes.size, file.size),
      mtimeSec,
      mtimeNsec: Math.round((file.mtimeMs - mtimeSec * 1000) * 1e6),
    };
  }

  setattr(ino: number, change: AttributeChange): Attributes | Errno {
    const outcome = this.#commit(ino);
    return outcome === 0 ? this.#verbs.setattr(ino, change) : outcome;
  }

  fallocate(ino: number, offset: number, length: number, flags: number): Outcome {
    if (offset < 0 || length <= 0) return EINVAL;
    const keepSize = (flags & KEEP_SIZE) !== 0;
    const others = flags & ~KEEP_SIZE;
    if (others !== 0 && others !== ZERO_RANGE && flags !== (PUNCH_HOLE | KEEP_SIZE)) return EOPNOTSUPP;
    const committed = this.#commit(ino);
    if (committed !== 0) return committed;
    if (others !== 0) {
      const punched = this.#verbs.punch(ino, offset, length);
      if (typeof punched === "number") return punched;
    }
    const answer = others === PUNCH_HOLE ? 0 : this.#verbs.allocate(ino, offset, length, keepSize);
    return typeof answer === "number" ? answer : 0;
  }

  seek(ino: number, offset: number, whence: number): number {
    const outcome = this.#commit(ino);
    if (outcome !== 0) return -outcome;
    for (let from = offset; ; from += SEEK_WINDOW) {
      const map = this.#verbs.extents(ino, from, SEEK_WINDOW);
      if (typeof map === "number") return -map;
      if (offset < 0 || offset >= map.size) return -ENXIO;
      const found = whence === SEEK_DATA ? dataIn(map, from, from + SEEK_WINDOW) : holeIn(map, from, from + SEEK_WINDOW);
      if (found !== undefined && found < map.size) return found;
      if (from + SEEK_WINDOW >= map.size) return whence === SEEK_DATA ? -ENXIO : map.size;
    }
  }

  writeBack(olderThanMs: number): Outcome {
    const untilMs = this.#options.clock.nowMs() - olderThanMs;
    let worst = 0;
    let awaited: Awaiting | undefined;
    for (const { ino, sinceMs } of this.#dirty.values()) {
      if (sinceMs > untilMs) break;
      const outcome = orIfAwaiting(
        () => this.#commit(ino),
        (awaiting) => ((awaited = awaiting), 0),
      );
      if (outcome !== 0) {
        this.#failures.set(ino, outcome);
        worst = outcome;
      }
    }
    let left = olderThanMs === 0 ? Infinity : SYNC_MAX;
    for (const [ino, blobs] of this.#unsynced) {
      if (left <= 0) break;
      left -= blobs.length;
      worst ||= this.#attempt(() => {
        this.#sync(ino);
        return 0;
      });
    }
    if (awaited !== undefined) throw awaited;
    return worst;
  }

  release(ino: number): void {
    const wasDirty = this.#dirty.has(ino);
    const outcome = this.#commit(ino, true);
    const left = this.#dirty.get(ino);
    if (outcome !== 0) this.#failures.set(ino, outcome);
    if (left !== undefined) this.#drop(left); // what stayed to be tried again must not be mixed into what others write
    if (!wasDirty || outcome !== 0) this.#verbs.leases.drop([ino]);
  }

  dirty(): readonly number[] {
    return [...this.#dirty.keys()];
  }

  forsake(): void {
    for (const file of this.#dirty.values()) {
      this.#failures.set(file.ino, EIO);
      this.#drop(file);
    }
  }

  unwritten(): { readonly files: number; readonly bytes: number } {
    let bytes = 0;
    for (const file of this.#dirty.values()) bytes += file.bytes;
    return { files: this.#dirty.size, bytes };
  }

  discard(): void {
    this.#discarded = true;
    this.#dirty.clear();
    this.#failures.clear();
    this.#unsynced.clear();
    this.#bufferBytes = 0;
    this.#storedBytes = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#discarded) this.writeBack(0);
    this.discard();
    await this.#blobs[Symbol.asyncDispose]();
  }

  #flush(ino: number, release: boolean): Outcome {
    const isDirty = this.#dirty.has(ino);
    const outcome = this.#commit(ino, release);
    if (release && !isDirty) this.#verbs.leases.drop([ino]);
    const failure = this.#failures.get(ino);
    this.#failures.delete(ino);
    return outcome === 0 ? (failure ?? 0) : outcome;
  }

  #dirtyFile(ino: number): DirtyFile {
    let file = this.#dirty.get(ino);
    if (file === undefined) this.#dirty.set(ino, (file = new DirtyFile(ino, this.#options.clock.nowMs(), this.#buffers)));
    return file;
  }

  #commitAll(): Outcome {
    let worst = 0;
    for (const ino of this.#dirty.keys()) worst = this.#commitIfReady(ino) || worst;
    return worst;
  }

  /** What would have to wait is in blobs then, and needs no memory. */
  #commitIfReady(ino: number): Outcome {
    return orIfAwaiting(
      () => this.#commit(ino),
      () => 0,
    );
  }

  /** Makes what was written part of the file. What failed stays, to be tried again, unless it can never succeed. */
  #commit(ino: number, release = false): Outcome {
    const file = this.#dirty.get(ino);
    if (file === undefined) return this.#discarded ? EIO : 0;
    const outcome = this.#attempt(() => this.#commitFile(file, release));
    if (outcome === 0 || outcome === ENOENT || outcome === EIO) this.#drop(file);
    return outcome;
  }

  #commitFile(file: DirtyFile, release: boolean): Outcome {
    const { ino, ranges, mtimeMs } = file;
    const map = this.#verbs.extents(ino, 0, 1);
    if (typeof map === "number") return map;
    const size = Math.max(map.size, file.size);
    if (size <= INLINE_BYTES_MAX && file.stored.length === 0 && map.extents.length === 0) {
      const inline = new Uint8Array(size);
      if (map.inline !== undefined) inline.set(map.inline);
      ranges.overlay(0, inline);
      return outcomeOf(this.#verbs.commit(ino, { size, mtimeMs, inline, release }));
    }
    // What lay in the metadata until now goes along into a blob, where nothing newer covers it.
    if (map.inline !== undefined && !file.overlapsStored(0, 1)) ranges.writeUnder(0, map.inline);
    const outcome = this.#store(file, ranges.list());
    if (outcome !== 0) return outcome;
    this.#bufferBytes -= ranges.bytes;
    ranges.clear();
    this.#blobs.beforeCommit(file.stored.map(({ blob }) => blob));
    const extents = file.stored
      .map(({ position, length, blob, blobOffset }) => ({ position, length, blobId: blob.id, blobOffset }))
      .toSorted((a, b) => a.position - b.position);
    const committed = outcomeOf(this.#verbs.commit(ino, { size, mtimeMs, extents, release }));
    if (committed !== 0) return committed;
    const waiting = this.#unsynced.get(ino) ?? [];
    for (const { blob } of file.stored) if (waiting.at(-1)?.id !== blob.id) waiting.push(blob);
    this.#unsynced.set(ino, waiting);
    return 0;
  }

  #store(file: DirtyFile, ranges: Parameters<typeof storeRanges>[2]): Outcome {
    return this.#attempt(() => {
      const parts = storeRanges(this.#verbs, this.#blobs, ranges);
      if (typeof parts === "number") return parts;
      file.stored.push(...parts);
      this.#storedBytes += parts.reduce((sum, { length }) => sum + length, 0);
      return 0;
    });
  }

  /** Puts the slot at this position into a blob, if it is full. */
  #storeFull(file: DirtyFile, position: number): Outcome {
    const held = file.ranges.bytes;
    const full = file.ranges.takeFull(position);
    if (full === undefined) return 0;
    this.#bufferBytes += file.ranges.bytes - held;
    const outcome = this.#store(file, [full]);
    if (outcome !== 0) {
      this.#putBack(file, full);
      return outcome;
    }
    this.#buffers.give(full.buffer);
    return file.stored.length > STORED_MAX && file.ranges.count === 0 ? this.#commitIfReady(file.ino) : 0;
  }

  /** What could not be stored is still to be written. */
  #putBack(file: DirtyFile, { position, data }: DirtyRange): void {
    const held = file.ranges.bytes;
    file.ranges.write(position, data);
    this.#bufferBytes += file.ranges.bytes - held;
  }

  #sync(ino: number): void {
    const blobs = this.#unsynced.get(ino);
    if (blobs === undefined) return;
    this.#blobs.sync(blobs);
    this.#unsynced.delete(ino);
  }

  #drop(file: DirtyFile): void {
    this.#bufferBytes -= file.ranges.bytes;
    file.ranges.clear();
    this.#storedBytes -= file.storedBytes;
    this.#dirty.delete(file.ino);
  }

  #fill(map: FileMap, offset: number, into: Uint8Array): void {
    if (map.inline !== undefined) {
      const part = map.inline.subarray(offset, offset + into.length);
      into.set(part);
      into.fill(0, part.length);
      return;
    }
    let done = 0;
    for (const extent of map.extents) {
      const start = Math.max(0, extent.position - offset);
      if (start > done) into.fill(0, done, start);
      done = Math.max(done, this.#copy(extent, offset, into));
    }
    if (done < into.length) into.fill(0, done);
  }

  /** Copies what the part has of `[offset, offset + into.length)`; where in `into` that ends. */
  #copy(
    { position, length, blob, blobOffset }: { position: number; length: number; blob: Blob; blobOffset: number },
    offset: number,
    into: Uint8Array,
  ): number {
    const from = Math.max(position, offset);
    const to = Math.min(position + length, offset + into.length);
    if (from >= to) return 0;
    this.#blobs.read(blob, blobOffset + from - position, into.subarray(from - offset, to - offset));
    return to - offset;
  }

  /** A failing disk is an error number. */
  #attempt(work: () => Outcome): Outcome {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof AnaxError) || PASSED_ON.has(error.code)) throw error;
      return error.code === "disk.full" ? ENOSPC : EIO;
    }
  }
}

const outcomeOf = (answer: object | Errno): Outcome => (typeof answer === "number" ? answer : 0);

function dataIn(map: FileMap, from: number, to: number): number | undefined {
  if (map.inline !== undefined) return from < map.inline.length ? from : undefined;
  const first = map.extents.find(({ position, length }) => position + length > from && position < to);
  return first === undefined ? undefined : Math.max(first.position, from);
}

function holeIn(map: FileMap, from: number, to: number): number | undefined {
  if (map.inline !== undefined) return Math.max(from, map.inline.length);
  let at = from;
  for (const { position, length } of map.extents) {
    if (position > at) break;
    at = Math.max(at, position + length);
  }
  return at < to ? at : undefined;
}
