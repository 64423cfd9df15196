import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Operation } from "./database.ts";
import type { PiecesMetrics } from "./metrics.ts";

/** Something with unrecorded changes. */
export interface Recordable {
  readonly id: string;
  /** The changes since the last call, which it then forgets. */
  takeChanges(): readonly Operation[];
  /** Gives them back: the commit failed. */
  returnChanges(operations: readonly Operation[]): void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A failing disk is asked again at this pace. */
const RETRY_MS = 2000;

interface CommitOptions {
  readonly commit: (operations: readonly Operation[], durable: boolean) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: PiecesMetrics;
  readonly intervalMs: number;
  readonly piecesMax: number;
}

/**
 * Group commit: changes gather until an interval has passed or enough pieces came, then go into the database as one transaction.
 * One transaction runs at a time; what comes meanwhile makes the next one. Bounded by the number of tasks, as changes of a task merge.
 */
export class CommitQueue {
  readonly #options: CommitOptions;
  readonly #changed = new Set<Recordable>();
  readonly #deleted = new Set<string>();
  #waiters: Waiter[] = [];
  #pieces = 0;
  #timer: Disposable | undefined;
  #running: Promise<void> | undefined;
  #failing = false;
  #closed = false;

  constructor(options: CommitOptions) {
    this.#options = options;
  }

  /** Notes that `target` has changes; `pieces` of them count towards an early commit. */
  changed(target: Recordable, pieces = 0): void {
    this.#changed.add(target);
    this.#pieces += pieces;
    if (this.#pieces >= this.#options.piecesMax && !this.#failing) this.#start();
    else this.#arm();
  }

  /** Deletes a task's records; its unrecorded changes are void. */
  deleted(target: Recordable): void {
    this.#changed.delete(target);
    this.#deleted.add(target.id);
    this.#arm();
  }

  /** Resolves when everything noted so far is on the disk to stay. Throws `disk.full`, `disk.io`. */
  durable(): Promise<void> {
    if (this.#closed) return Promise.reject(new AnaxError("download.cancelled", { reason: "the piece store is closed" }));
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#start();
    });
  }

  /** Commits what is there and stops; errors are logged. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    if (this.#hasWork) await this.#commit();
    this.#timer?.[Symbol.dispose]();
  }

  get #hasWork(): boolean {
    return this.#changed.size > 0 || this.#deleted.size > 0 || this.#waiters.length > 0;
  }

  #arm(): void {
    if (this.#closed || this.#running !== undefined) return; // the end of the running one arms
    const ms = this.#failing ? RETRY_MS : this.#options.intervalMs;
    this.#timer ??= this.#options.clock.timer(ms, () => {
      this.#timer = undefined;
      this.#start();
    });
  }

  #start(): void {
    if (this.#closed || this.#running !== undefined || !this.#hasWork) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#running = this.#commit().finally(() => {
      this.#running = undefined;
      if (this.#waiters.length > 0 || (!this.#failing && this.#pieces >= this.#options.piecesMax)) this.#start();
      else if (this.#hasWork) this.#arm();
    });
  }

  async #commit(): Promise<void> {
    const waiters = this.#waiters;
    const deleted = [...this.#deleted];
    // Deletions first: a task of the same name may have been made anew since.
    const taken = [...this.#changed].map((target) => ({ target, operations: target.takeChanges() }));
    const operations: Operation[] = [
      ...deleted.map((id): Operation => ({ kind: "delete", id })),
      ...taken.flatMap((each) => each.operations),
    ];
    this.#waiters = [];
    this.#deleted.clear();
    this.#changed.clear();
    this.#pieces = 0;
    try {
      await this.#options.commit(operations, waiters.length > 0);
      this.#options.metrics.commits.inc({ outcome: "done" });
      this.#failing = false;
      for (const waiter of waiters) waiter.resolve();
    } catch (error) {
      this.#options.metrics.commits.inc({ outcome: "failed" });
      if (!this.#failing) this.#options.log.warn("store.commit-failed", { reason: String(error), operations: operations.length });
      this.#failing = true; // said once, until it works again
      this.#putBack(deleted, taken);
      for (const waiter of waiters) waiter.reject(error);
    }
  }

  #putBack(deleted: readonly string[], taken: readonly { readonly target: Recordable; readonly operations: readonly Operation[] }[]): void {
    const deletedSince = new Set(this.#deleted);
    for (const id of deleted) this.#deleted.add(id);
    for (const { target, operations } of taken) {
      if (deletedSince.has(target.id)) continue;
      target.returnChanges(operations);
      this.#changed.add(target);
    }
  }
}
