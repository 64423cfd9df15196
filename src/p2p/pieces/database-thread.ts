import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { AnaxError, type ErrorCode, type ErrorDetails } from "../../base/errors.ts";
import { workerUrlOf } from "../../base/worker-url.ts";
import type { Operation } from "./database.ts";
import type { Notice, RecoveredTask } from "./recovery.ts";
import { send } from "./workers.ts";

export type DatabaseRequest =
  | { readonly kind: "commit"; readonly sequence: number; readonly operations: readonly Operation[]; readonly durable: boolean }
  | { readonly kind: "close" };

export interface ReportedError {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
}

export type DatabaseReply =
  | { readonly kind: "opened"; readonly tasks: readonly RecoveredTask[]; readonly notices: readonly Notice[] }
  | { readonly kind: "refused"; readonly error: ReportedError }
  | { readonly kind: "committed"; readonly sequence: number }
  | { readonly kind: "failed"; readonly sequence: number; readonly error: ReportedError }
  | { readonly kind: "closed" };

/** The piece database as seen from the main thread. */
export class DatabaseThread implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #pending = new Map<number, { readonly resolve: () => void; readonly reject: (error: Error) => void }>();
  #sequence = 0;
  #closed = false;
  readonly #broken = new AbortController();

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("message", (message: DatabaseReply) => this.#onReply(message));
    worker.on("error", () => undefined); // its exit follows, and everybody who waits learns of it
    worker.on("exit", () => this.#onExit());
    worker.unref(); // an idle store alone keeps no process alive
  }

  /** Recovers and opens the store in `dir`. Throws `disk.newer-format`, `disk.full`, `disk.io`. */
  static async open(
    dir: string,
  ): Promise<{ readonly thread: DatabaseThread; readonly tasks: readonly RecoveredTask[]; readonly notices: readonly Notice[] }> {
    const worker = new Worker(workerUrlOf("database-worker", import.meta.url), { workerData: { dir } });
    const [message] = (await once(worker, "message")) as [DatabaseReply]; // rejects when the worker cannot even start
    if (message.kind === "opened") return { thread: new DatabaseThread(worker), tasks: message.tasks, notices: message.notices };
    await worker.terminate();
    throw message.kind === "refused" ? errorFrom(message.error, { dir }) : new AnaxError("internal", { reason: message.kind });
  }

  /** Aborts when the thread ended by itself. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  /** Runs the operations in one transaction, all or nothing. Throws `disk.full`, `disk.io`; nothing is changed then. */
  commit(operations: readonly Operation[], durable: boolean): Promise<void> {
    if (this.#closed) return Promise.reject(new AnaxError("disk.io", { reason: "the piece database is closed" }));
    const sequence = this.#sequence++;
    if (this.#pending.size === 0) this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#pending.set(sequence, { resolve, reject });
      send(this.#worker, { kind: "commit", sequence, operations, durable });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#worker.ref();
    const exited = once(this.#worker, "exit");
    send(this.#worker, { kind: "close" }); // behind every commit already sent
    await exited;
  }

  #onReply(message: DatabaseReply): void {
    if (message.kind !== "committed" && message.kind !== "failed") return;
    const waiter = this.#pending.get(message.sequence);
    this.#pending.delete(message.sequence);
    if (this.#pending.size === 0) this.#worker.unref();
    if (message.kind === "committed") waiter?.resolve();
    else waiter?.reject(errorFrom(message.error));
  }

  #onExit(): void {
    const stopped = new AnaxError("disk.io", { reason: "the piece database stopped" });
    for (const waiter of this.#pending.values()) waiter.reject(stopped);
    this.#pending.clear();
    if (!this.#closed) this.#broken.abort(stopped);
    this.#closed = true;
  }
}

const errorFrom = (error: ReportedError, more: ErrorDetails = {}): AnaxError => new AnaxError(error.code, { ...error.details, ...more });
