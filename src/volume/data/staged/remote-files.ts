import { constants } from "node:os";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import type { EngineVerbs } from "../../meta/rules/verbs-on.ts";
import { BLOB_BYTES_MAX } from "../../meta/extents.ts";
import { isPending, type Answer, type Attributes, type AttributeChange, type Errno, type Outcome } from "../../meta/verbs.ts";
import { Awaiting, orIfAwaiting } from "../awaiting.ts";
import type { LocalFiles } from "../local-files.ts";
import type { VolumeFiles } from "../volume-files.ts";
import type { StagedBlobs } from "./staged-blobs.ts";

const { EIO } = constants.errno;

/** Who waits is told that nothing comes when no blob has come or gone for so long. */
const IDLE_MS = 10_000;
/** A call that begins to wait again so often is not getting anywhere. */
const ROUNDS_MAX = 10_000;
/** Blobs that are fetched ahead of who reads in order. */
const AHEAD_BLOBS = 4;
/** Files whose reading is followed. */
const FOLLOWED_MAX = 1024;

export interface RemoteFilesOptions {
  readonly local: LocalFiles;
  readonly blobs: StagedBlobs;
  readonly verbs: EngineVerbs;
  readonly clock: Clock;
  readonly onDamage: (ino: number, error: AnaxError) => void;
}

/**
 * Content in a bucket: `LocalFiles`, which answers at once what lies on this machine, and this class, which waits for the rest and asks again. A store that does not
 * answer is `volume.unreachable`, and what was written stays to be written.
 */
export class RemoteFiles implements VolumeFiles {
  readonly #local: LocalFiles;
  readonly #blobs: StagedBlobs;
  readonly #options: RemoteFilesOptions;
  /** Files that are being committed: who goes on to write would keep them from ever getting done. */
  readonly #committing = new Map<number, Promise<unknown>>();
  /** Where a file's reader had to wait last, by inode: the end of that blob's content. */
  readonly #reads = new Map<number, number>();

  constructor(options: RemoteFilesOptions) {
    this.#options = options;
    this.#local = options.local;
    this.#blobs = options.blobs;
  }

  open(ino: number): Outcome {
    return this.#local.open(ino);
  }

  read(ino: number, offset: number, into: Uint8Array): Answer<number> {
    const answer = this.#whenReady(() => this.#local.read(ino, offset, into));
    if (!isPending(answer)) return answer;
    this.#readAhead(ino, offset);
    return this.#orDamaged(ino, answer);
  }

  write(ino: number, offset: number, bytes: Uint8Array): Answer<Outcome> {
    const committed = this.#committing.get(ino)?.catch(() => undefined); // its failure is told to whoever committed
    const busy = committed ?? this.#blobs.room();
    if (busy !== undefined) return this.#writeLater(busy, { ino, offset, bytes });
    return this.#whenReady(() => this.#local.write(ino, offset, bytes));
  }

  flush(ino: number): Answer<Outcome> {
    return this.#committed(ino, () => this.#local.flush(ino));
  }

  fsync(ino: number): Answer<Outcome> {
    return this.#committed(ino, () => this.#local.fsync(ino));
  }

  close(ino: number): Outcome {
    return this.#local.close(ino);
  }

  current(attributes: Attributes): Attributes {
    return this.#local.current(attributes);
  }

  setattr(ino: number, change: AttributeChange): Answer<Attributes | Errno> {
    return this.#committed(ino, () => this.#local.setattr(ino, change));
  }

  fallocate(ino: number, offset: number, length: number, flags: number): Answer<Outcome> {
    return this.#committed(ino, () => this.#local.fallocate(ino, offset, length, flags));
  }

  seek(ino: number, offset: number, whence: number): Answer<number> {
    return this.#committed(ino, () => this.#local.seek(ino, offset, whence));
  }

  /** What is only due goes on without anybody who waits: the next round commits what has been uploaded. */
  writeBack(olderThanMs: number): Answer<Outcome> {
    if (olderThanMs === 0) return this.#whenReady(() => this.#local.writeBack(0));
    return orIfAwaiting(
      () => this.#local.writeBack(olderThanMs),
      () => 0,
    );
  }

  release(ino: number): Answer<void> {
    return this.#committed(ino, () => this.#local.release(ino));
  }

  dirty(): readonly number[] {
    return this.#local.dirty();
  }

  forsake(): void {
    this.#local.forsake();
  }

  unwritten(): { readonly files: number; readonly bytes: number } {
    return this.#local.unwritten();
  }

  discard(): void {
    this.#local.discard();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.writeBack(0);
    } finally {
      this.#local.discard();
      await this.#local[Symbol.asyncDispose](); // closes the blobs, too
    }
  }

  async #writeLater(
    busy: Promise<unknown>,
    { ino, offset, bytes }: { readonly ino: number; readonly offset: number; readonly bytes: Uint8Array },
  ): Promise<Outcome> {
    await this.#inTime(busy);
    return this.write(ino, offset, bytes);
  }

  #committed<T>(ino: number, work: () => T): Answer<T> {
    const answer = this.#whenReady(work);
    if (!isPending(answer)) return answer;
    this.#committing.set(ino, answer);
    return this.#untilDone(ino, answer);
  }

  async #untilDone<T>(ino: number, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } finally {
      if (this.#committing.get(ino) === answer) this.#committing.delete(ino);
    }
  }

  #whenReady<T>(work: () => T): Answer<T> {
    try {
      return work();
    } catch (thrown) {
      if (thrown instanceof Awaiting) return this.#later(thrown, work);
      throw thrown;
    }
  }

  async #later<T>(first: Awaiting, work: () => T): Promise<T> {
    let awaiting = first;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      await this.#inTime(awaiting.until);
      try {
        return work();
      } catch (thrown) {
        if (!(thrown instanceof Awaiting)) throw thrown;
        awaiting = thrown;
      }
    }
    throw new AnaxError("volume.unreachable", { reason: "what was fetched is gone again at once" });
  }

  /** As long as blobs come and go, the one that is waited for has its turn to come. */
  async #inTime(until: Promise<unknown>): Promise<void> {
    const late = Promise.withResolvers<never>();
    let seen = this.#blobs.moved;
    let timer: Disposable;
    const watch = (): void => {
      timer = this.#options.clock.timer(IDLE_MS, () => {
        if (this.#blobs.moved === seen)
          return late.reject(new AnaxError("volume.unreachable", { reason: `no blob has moved for ${IDLE_MS} ms` }));
        seen = this.#blobs.moved;
        watch();
      });
    };
    watch();
    try {
      await Promise.race([until, late.promise]);
    } finally {
      timer![Symbol.dispose](); // set by `watch`
    }
  }

  async #orDamaged(ino: number, answer: Promise<number>): Promise<number> {
    try {
      return await answer;
    } catch (error) {
      if (!(error instanceof AnaxError) || (error.code !== "disk.corrupt" && error.code !== "piece.not-found")) throw error;
      this.#options.onDamage(ino, error);
      return -EIO;
    }
  }

  /** Who had to wait where the last blob ended, or at the beginning, reads in order. */
  #readAhead(ino: number, offset: number): void {
    const expected = this.#reads.get(ino) ?? 0;
    const map = this.#options.verbs.extents(ino, offset, (AHEAD_BLOBS + 1) * BLOB_BYTES_MAX);
    const here = typeof map === "number" ? undefined : map.extents.find(({ position, length }) => position + length > offset);
    if (typeof map === "number" || here === undefined) return;
    this.#reads.delete(ino);
    this.#reads.set(ino, here.position + here.length);
    const [oldest] = this.#reads.keys();
    if (this.#reads.size > FOLLOWED_MAX && oldest !== undefined) this.#reads.delete(oldest);
    if (here.position > expected || here.position + here.length < expected) return;
    for (const { position, blob } of map.extents) if (position > here.position) this.#blobs.expect(blob);
  }
}
