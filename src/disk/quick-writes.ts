import { writeSync } from "node:fs";
import type { Clock } from "../base/clock.ts";
import { writeFully } from "./descriptor.ts";
import { diskErrorOf } from "./disk-error.ts";

/** Longer ones would keep others waiting however fast the disk is. Bytes. */
const QUICK_BYTES_MAX = 1024 * 1024;
/** A write that took longer has met a disk that makes its writers wait. */
const SLOW_MS = 20;
/**
 * So long it is not tried again; after the next such write twice as long, or half as long when that one is rare. A busy processor makes a write take long
 * now and then, too: of 64 KiB blocks a sixteenth at most goes the long way then. A disk that makes its writers wait does so again and again.
 */
const PAUSE_FIRST_MS = 80;
const PAUSE_MAX_MS = 5120;
const RARE_PAUSES = 16;

/**
 * Writes at offsets, mostly into the page cache: a copy in memory, for which the detour through the thread pool (two switches of threads for every
 * 64 KiB block) costs more than the copy. So it is done right here, until a write takes so long that it must have waited for the disk; then the
 * thread pool waits for a while, and the loop does not.
 */
export class QuickWrites {
  readonly #clock: Pick<Clock, "nowMs">;
  #pausedUntilMs = -Infinity;
  #pauseMs = PAUSE_FIRST_MS;

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
  }

  /** Writes all of `bytes`. Throws `disk.full`, `disk.io`. */
  async write(fd: number, bytes: Uint8Array, positionBytes: number): Promise<void> {
    const written = this.writeSome(fd, bytes, positionBytes);
    // A short write is legal; the rest, and whatever is the matter, is the other way's business.
    if (written < bytes.length) await writeFully(fd, bytes.subarray(written), positionBytes + written);
  }

  /** Writes right here, unless that might take long: how many bytes. Throws `disk.full`, `disk.io`. */
  writeSome(fd: number, bytes: Uint8Array, positionBytes: number): number {
    const startedMs = this.#clock.nowMs();
    if (bytes.length > QUICK_BYTES_MAX || startedMs < this.#pausedUntilMs) return 0;
    try {
      return writeSync(fd, bytes, 0, bytes.length, positionBytes);
    } catch (error) {
      throw diskErrorOf(error);
    } finally {
      // Also after a failure: a disk that breaks takes its time for each error.
      const endedMs = this.#clock.nowMs();
      if (endedMs - startedMs > SLOW_MS) this.#pause(endedMs);
    }
  }

  #pause(nowMs: number): void {
    const isRare = nowMs - this.#pausedUntilMs > this.#pauseMs * RARE_PAUSES;
    this.#pauseMs = isRare ? Math.max(PAUSE_FIRST_MS, this.#pauseMs / 2) : Math.min(PAUSE_MAX_MS, this.#pauseMs * 2);
    this.#pausedUntilMs = nowMs + this.#pauseMs;
  }
}
