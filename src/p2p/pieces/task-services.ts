import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { CommitQueue } from "./commit-queue.ts";
import type { OpenFiles } from "./content-file.ts";
import type { DigestThread } from "./digest-thread.ts";
import type { OutsideUses } from "./in-use.ts";
import type { PiecesMetrics } from "./metrics.ts";
import type { ReadBuffers } from "./read-buffers.ts";
import type { StoreSums } from "./store-sums.ts";
import type { StoredTask } from "./types.ts";

/** What all tasks of a store share. */
export interface TaskServices {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: PiecesMetrics;
  readonly commits: CommitQueue;
  readonly files: OpenFiles;
  readonly digests: DigestThread;
  readonly buffers: ReadBuffers;
  readonly sums: StoreSums;
  readonly outside: OutsideUses;
  readonly syncOnFinish: boolean;
  /** Aborts when the store closes. */
  readonly closing: AbortSignal;
  spoolPath(): string;
  onPiece(task: StoredTask, index: number): void;
  onDropped(task: StoredTask, index: number): void;
  onWanted(task: StoredTask, index: number): void;
  /** Somebody has let go of a task, or of space: what waits for space may find it now. */
  onReleased(): void;
  /** Work that nobody waits for but the store's end. */
  inBackground(work: Promise<void>): void;
}
