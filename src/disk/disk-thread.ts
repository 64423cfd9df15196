import { Worker } from "node:worker_threads";
import type { Clock } from "../base/clock.ts";
import { TurnBatch } from "../base/turn-batch.ts";
import { workerUrlOf } from "../base/worker-url.ts";
import type { DiskErrandName, DiskErrands } from "./disk-errands.ts";

export interface DiskOrder {
  readonly name: DiskErrandName;
  readonly of: DiskErrands[DiskErrandName]["of"];
}

export type DiskAnswer =
  | { readonly gives: unknown }
  | { readonly code: string | undefined; readonly syscall: string | undefined; readonly reason: string };

export interface DiskAnswers {
  readonly answers: readonly DiskAnswer[];
  readonly tookMs: number;
}

interface Waiter {
  readonly resolve: (gives: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** So many errands within `WINDOW_MS` are worth a thread. */
const MANY = 64;
const WINDOW_MS = 1000;
/** Nothing to do for so long ends the thread: its memory is worth more then. */
const IDLE_MS = 30_000;
/**
 * When the last so many errands took longer on average, the disk makes its users wait: side by side, in Node's thread pool, they wait less. A file needs
 * about five, so that this is the rate at which the pool would bring as many.
 */
const LOOK_ERRANDS = 128;
const SLOW_MS = 0.75;
const PAUSE_MS = 5000;
/** Errands that go at once: others wait no longer for what comes of them. */
const BATCH_MAX = 64;
/**
 * Batches on their way: one that is worked on and one that follows. What comes meanwhile gathers here, since each message wakes a thread, twice, and files
 * that are flushed together share what a flush takes.
 */
const SENT_MAX = 2;

interface Errand {
  readonly order: DiskOrder;
  readonly waiter: Waiter;
}

/**
 * Runs errands to one disk, while there are many, in a thread of its own. A small file needs a dozen short calls, each answered from memory, and the
 * way of each through Node's thread pool (two switches of threads and a lock that all share) costs more than they do; here the calls of an errand
 * follow each other, and the errands of a turn go together.
 */
export class DiskThread implements AsyncDisposable {
  readonly #clock: Pick<Clock, "nowMs" | "timer">;
  readonly #batch = new TurnBatch<Errand>({
    itemsMax: BATCH_MAX,
    pass: (errands) => {
      this.#waiting.push(...errands);
      this.#send();
    },
  });
  readonly #waiting: Errand[] = [];
  readonly #sent: (readonly Errand[])[] = [];
  #worker: Worker | undefined;
  #ready = false;
  #asked = 0;
  #windowEndsMs = 0;
  #pausedUntilMs = 0;
  readonly #slowMs: number;
  #doneErrands = 0;
  #doneMs = 0;
  #lastMs = 0;
  #idle: Disposable | undefined;
  #closed = false;
  #onDrained: () => void = () => undefined;

  /** Errands that take longer than `slowMs` on average go through the thread pool for a while. */
  constructor(clock: Pick<Clock, "nowMs" | "timer">, slowMs = SLOW_MS) {
    this.#clock = clock;
    this.#slowMs = slowMs;
  }

  /** Undefined: few are asked for, or the disk is slow, and the caller goes through Node's thread pool. Rejects with the system's error. */
  tryRun<Name extends DiskErrandName>(name: Name, of: DiskErrands[Name]["of"]): Promise<DiskErrands[Name]["gives"]> | undefined {
    const nowMs = this.#clock.nowMs();
    if (!this.#isWorthIt(nowMs)) return undefined;
    this.#lastMs = nowMs;
    return new Promise((resolve, reject) => {
      this.#batch.add({ order: { name, of }, waiter: { resolve: resolve as Waiter["resolve"], reject } });
    });
  }

  /** What was asked for is done. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#idle?.[Symbol.dispose]();
    this.#batch.flush();
    await this.#drained();
    await this.#worker?.terminate();
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#sent.length === 0) resolve(); // then nothing waits to be sent, either
      else this.#onDrained = resolve;
    });
  }

  #isWorthIt(nowMs: number): boolean {
    if (nowMs >= this.#windowEndsMs) {
      this.#windowEndsMs = nowMs + WINDOW_MS;
      this.#asked = 0;
    }
    this.#asked++;
    if (this.#asked > MANY && this.#worker === undefined && !this.#closed) this.#start();
    return this.#ready && !this.#closed && nowMs >= this.#pausedUntilMs;
  }

  #start(): void {
    // Descriptors are opened here and closed elsewhere, and the other way round.
    const worker = new Worker(workerUrlOf("disk-worker", import.meta.url), { trackUnmanagedFds: false });
    worker.unref();
    worker.on("online", () => (this.#ready = true));
    worker.on("message", (answers: DiskAnswers) => this.#answered(answers));
    worker.on("error", () => undefined); // its exit follows
    worker.on("exit", () => this.#onExit());
    this.#worker = worker;
    this.#lastMs = this.#clock.nowMs();
    this.#watch();
  }

  #watch(): void {
    this.#idle = this.#clock.timer(IDLE_MS, () => {
      if (this.#sent.length > 0 || this.#clock.nowMs() - this.#lastMs < IDLE_MS) return this.#watch();
      this.#ready = false;
      void this.#worker?.terminate();
    });
  }

  #send(): void {
    if (this.#worker === undefined) return fail(this.#waiting.splice(0));
    while (this.#sent.length < SENT_MAX && this.#waiting.length > 0) {
      const errands = this.#waiting.splice(0, BATCH_MAX);
      if (this.#sent.length === 0) this.#worker.ref();
      this.#sent.push(errands);
      this.#worker.postMessage(
        errands.map(({ order }) => order),
        [],
      );
    }
  }

  #answered({ answers, tookMs }: DiskAnswers): void {
    const errands = this.#sent.shift()!; // in the order in which they were sent
    this.#send();
    if (this.#sent.length === 0) {
      this.#worker?.unref();
      this.#onDrained();
    }
    this.#look(answers.length, tookMs);
    for (const [place, answer] of answers.entries()) {
      const { resolve, reject } = errands[place]!.waiter; // one for each
      if ("gives" in answer) resolve(answer.gives);
      else reject(Object.assign(new Error(answer.reason), answer));
    }
  }

  #look(errands: number, tookMs: number): void {
    this.#doneErrands += errands;
    this.#doneMs += tookMs;
    if (this.#doneErrands < LOOK_ERRANDS) return;
    if (this.#doneMs > this.#slowMs * this.#doneErrands) this.#pausedUntilMs = this.#clock.nowMs() + PAUSE_MS;
    this.#doneErrands = this.#doneMs = 0;
  }

  #onExit(): void {
    this.#worker = undefined;
    this.#ready = false;
    this.#idle?.[Symbol.dispose]();
    fail([...this.#sent.splice(0).flat(), ...this.#waiting.splice(0)]);
    this.#onDrained();
  }
}

function fail(errands: readonly Errand[]): void {
  for (const { waiter } of errands) waiter.reject(Object.assign(new Error("the thread for the disk has ended"), { code: "EIO" }));
}
