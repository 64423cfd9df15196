import { readdir, rm, stat } from "node:fs/promises";
import type { Stats } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { errorOf, systemCodeOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { takenBytesOf, type StoreLayout } from "./layout.ts";
import type { PiecesMetrics } from "./metrics.ts";
import type { TaskOnDisk } from "./task-on-disk.ts";

interface AccountantOptions {
  readonly layout: StoreLayout;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: PiecesMetrics;
  readonly tasks: () => Iterable<TaskOnDisk>;
  /** Whether a file of this name is a task's, or about to be. */
  readonly knows: (id: string) => boolean;
  /** The file of a task is not what it was; tells whether the task is deleted. */
  readonly lose: (task: TaskOnDisk) => Promise<boolean>;
}

/** A file that nobody knows, and that nobody writes to for so long, is nobody's. */
const UNKNOWN_AGE_MS = 3_600_000;
/** Unknown files that are remembered; more are found by a later comparison. */
const UNKNOWN_MAX = 65_536;
/** What each file may take beyond its content without being worth a warning, for the sake of whole blocks; and of all of it a hundredth. */
const ROUNDING_BYTES = 8192;
const ROUNDING_SHARE = 0.01;

interface Sums {
  tasks: number;
  countedBytes: number;
  takenBytes: number;
  lostTasks: number;
  unknownFiles: number;
  unknownBytes: number;
}

/** Compares what the store counts with what its files take on the disk, and corrects the count and the disk. */
export class Accountant {
  readonly #options: AccountantOptions;
  /** Unknown files, as they were seen first, and when. */
  #unknown = new Map<string, number>();
  #comparing: Promise<void> | undefined;
  #warned = false;

  constructor(options: AccountantOptions) {
    this.#options = options;
  }

  /** Joins a comparison under way. That the disk cannot be looked at goes to the log. */
  compare(signal: AbortSignal): Promise<void> {
    this.#comparing ??= this.#compare(signal)
      .catch((error: unknown) => {
        if (!signal.aborted) this.#options.log.warn("store.accounting-failed", { reason: errorOf(error).message });
      })
      .finally(() => (this.#comparing = undefined));
    return this.#comparing;
  }

  async #compare(signal: AbortSignal): Promise<void> {
    const sums: Sums = { tasks: 0, countedBytes: 0, takenBytes: 0, lostTasks: 0, unknownFiles: 0, unknownBytes: 0 };
    for (const task of this.#options.tasks()) {
      signal.throwIfAborted();
      await this.#measure(task, sums);
    }
    await this.#lookForUnknown(sums, signal);
    this.#report(sums);
  }

  /** What is being written now is counted by its reservation. */
  async #measure(task: TaskOnDisk, sums: Sums): Promise<void> {
    if (task.working) return;
    const found = await statOf(task.path);
    if (task.working || task.removed) return; // meanwhile
    if (found?.size !== task.meta.contentLength) {
      this.#options.log.warn("store.task-lost", { taskId: task.id, expectedBytes: task.meta.contentLength, foundBytes: found?.size });
      if (await this.#options.lose(task)) sums.lostTasks++;
      return;
    }
    sums.tasks++;
    sums.countedBytes += task.takenBytes;
    sums.takenBytes += takenBytesOf(found);
    task.measured(takenBytesOf(found));
  }

  async #lookForUnknown(sums: Sums, signal: AbortSignal): Promise<void> {
    const { layout, clock, knows, log } = this.#options;
    const seen = new Map<string, number>();
    for await (const { path, name } of filesOf(layout)) {
      signal.throwIfAborted();
      if (knows(name)) continue;
      const found = await statOf(path);
      if (found === undefined || seen.size >= UNKNOWN_MAX) continue;
      const as = `${path} ${found.ino} ${found.size} ${found.mtimeMs}`;
      const sinceMs = this.#unknown.get(as) ?? clock.nowMs();
      if (clock.nowMs() - sinceMs < UNKNOWN_AGE_MS) {
        seen.set(as, sinceMs);
        continue;
      }
      sums.unknownFiles++;
      sums.unknownBytes += takenBytesOf(found);
      await rm(path, { force: true });
      log.info("store.unknown-file-removed", { path, bytes: takenBytesOf(found) });
    }
    this.#unknown = seen;
  }

  #report({ tasks, ...sums }: Sums): void {
    const { metrics, log } = this.#options;
    const differenceBytes = sums.takenBytes + sums.unknownBytes - sums.countedBytes;
    metrics.unaccountedBytes.set(differenceBytes);
    const roundingBytes = tasks * ROUNDING_BYTES + sums.countedBytes * ROUNDING_SHARE;
    if (differenceBytes <= roundingBytes) return; // less may well be: some file systems compress
    log[this.#warned ? "debug" : "warn"]("store.accounting-corrected", { differenceBytes, ...sums });
    this.#warned = true;
  }
}

/** Content files, and those on their way to become one. */
async function* filesOf(layout: StoreLayout): AsyncGenerator<{ readonly path: string; readonly name: string }> {
  const groups = (await readdir(layout.tasks)).map((group) => join(layout.tasks, group));
  for (const dir of [layout.spool, ...groups]) for (const name of await readdir(dir)) yield { path: join(dir, name), name };
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
