import { closeSync, openSync, writeSync } from "node:fs";
import type { Clock } from "../base/clock.ts";
import { closeDescriptor, openDescriptor, syncAll, writeFully } from "./descriptor.ts";
import { diskErrorOf } from "./disk-error.ts";

/** Longer ones would keep others waiting however fast the disk is. Bytes. */
const QUICK_BYTES_MAX = 1024 * 1024;
/** A call that took longer has met a disk that makes its users wait. */
const SLOW_MS = 20;
/** So long it is not tried again. */
const PAUSE_MS = 5000;

/**
 * Calls to one local disk that are mostly answered from memory: writes into the page cache, names, lengths and modes. The detour through the thread
 * pool (two switches of threads, for a small file a dozen times) costs more than they do. So they are done right here, until one takes so long that
 * it must have waited for the disk; then the thread pool waits for a while, and the loop does not.
 */
export class QuickDisk {
  readonly #clock: Pick<Clock, "nowMs">;
  #pausedUntilMs = 0;

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
  }

  /** What `work` returns; undefined where the thread pool has to do it: the disk is slow, or something was in the way and is to be reported from there. */
  tryNow<T extends {}>(work: () => T): T | undefined {
    const startedMs = this.#clock.nowMs();
    if (startedMs < this.#pausedUntilMs) return undefined;
    try {
      return work();
    } catch {
      return undefined;
    } finally {
      this.#took(startedMs);
    }
  }

  /** Writes all of `bytes`. Throws `disk.full`, `disk.io`. */
  async write(fd: number, bytes: Uint8Array, positionBytes: number): Promise<void> {
    const startedMs = this.#clock.nowMs();
    if (bytes.length > QUICK_BYTES_MAX || startedMs < this.#pausedUntilMs) return writeFully(fd, bytes, positionBytes);
    const written = this.#writeSome({ fd, bytes, positionBytes, startedMs });
    // A short write is legal; the rest, and whatever is the matter, is the other way's business.
    if (written < bytes.length) await writeFully(fd, bytes.subarray(written), positionBytes + written);
  }

  /** As `syncDirectory` in descriptor.ts. */
  async syncDirectory(path: string): Promise<void> {
    const fd = this.tryNow(() => openSync(path, "r")) ?? (await openDescriptor(path, "r"));
    try {
      await syncAll(fd);
    } finally {
      this.close(fd);
    }
  }

  /** The kernel frees the number even when it reports an error, and what mattered was synced: nothing to do about one. */
  close(fd: number): void {
    const closed = this.tryNow(() => {
      try {
        closeSync(fd);
      } catch {}
      return true;
    });
    if (closed === undefined) void closeDescriptor(fd).catch(() => undefined);
  }

  #writeSome(write: {
    readonly fd: number;
    readonly bytes: Uint8Array;
    readonly positionBytes: number;
    readonly startedMs: number;
  }): number {
    const { fd, bytes, positionBytes, startedMs } = write;
    try {
      return writeSync(fd, bytes, 0, bytes.length, positionBytes);
    } catch (error) {
      throw diskErrorOf(error);
    } finally {
      this.#took(startedMs);
    }
  }

  /** Also after a failure: a disk that breaks takes its time for each error. */
  #took(startedMs: number): void {
    const endedMs = this.#clock.nowMs();
    if (endedMs - startedMs > SLOW_MS) this.#pausedUntilMs = endedMs + PAUSE_MS;
  }
}
