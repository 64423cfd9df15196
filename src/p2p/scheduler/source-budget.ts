import type { SchedulerConfig } from "./config.ts";
import type { Task } from "./state.ts";

export type BudgetLimit = "cluster-budget" | "origin-budget";

interface Place {
  readonly limit: BudgetLimit;
  /** When its peers were told last that they are to wait on. */
  toldAtMs: number;
}

/** How many peers read sources at once, over all tasks; beyond, tasks wait in the order in which they came. */
export class SourceBudget {
  readonly #config: SchedulerConfig;
  readonly #byOrigin = new Map<string, number>();
  readonly #queue = new Map<Task, Place>();
  #total = 0;
  /** Since somebody last looked at the queue. */
  #freed = false;

  constructor(config: SchedulerConfig) {
    this.#config = config;
  }

  /** What keeps one more peer of the task from reading; one that waits does so until its turn. */
  limitOf(task: Task): BudgetLimit | undefined {
    return this.#queue.get(task)?.limit ?? this.#limitOf(task);
  }

  /** Peers and seeds under order that count, of all tasks. */
  get total(): number {
    return this.#total;
  }

  /** Peers of the task that may read besides those that do. */
  roomFor({ origin }: Task): number {
    const { sourceReadersClusterMax, sourceReadersOriginMax } = this.#config;
    return Math.max(0, Math.min(sourceReadersClusterMax - this.#total, sourceReadersOriginMax - (this.#byOrigin.get(origin) ?? 0)));
  }

  take({ origin }: Task): void {
    this.#total++;
    this.#byOrigin.set(origin, (this.#byOrigin.get(origin) ?? 0) + 1);
  }

  /** `origin`: as it was when it was taken. */
  give(origin: string): void {
    this.#total--;
    const left = (this.#byOrigin.get(origin) ?? 0) - 1;
    if (left > 0) this.#byOrigin.set(origin, left);
    else this.#byOrigin.delete(origin);
    this.#freed = this.#queue.size > 0;
  }

  wait(task: Task, limit: BudgetLimit, nowMs: number): void {
    if (!this.#queue.has(task)) this.#queue.set(task, { limit, toldAtMs: nowMs });
  }

  isWaiting(task: Task): boolean {
    return this.#queue.has(task);
  }

  /** True when the peers of a waiting task are to be told again, as if they had been by now. */
  isToBeTold(task: Task, nowMs: number, everyMs: number): boolean {
    const place = this.#queue.get(task);
    if (place === undefined || nowMs - place.toldAtMs < everyMs) return false;
    place.toldAtMs = nowMs;
    return true;
  }

  /** 1 is next; 0: it does not wait. */
  placeOf(task: Task): number {
    return this.#queue.has(task) ? [...this.#queue.keys()].indexOf(task) + 1 : 0;
  }

  forget(task: Task): void {
    this.#queue.delete(task);
  }

  /** Somebody made room since somebody last looked, and tasks wait for it. */
  get hasTurns(): boolean {
    return this.#freed;
  }

  /** Tasks whose turn it is, taken from the queue one by one; whoever iterates lets them read before the next is looked at. */
  *turns(): Generator<Task> {
    this.#freed = false;
    for (const task of this.#queue.keys()) {
      if (this.#total >= this.#config.sourceReadersClusterMax) return;
      if (this.#limitOf(task) !== undefined) continue;
      this.#queue.delete(task);
      yield task;
    }
  }

  #limitOf({ origin }: Task): BudgetLimit | undefined {
    if (this.#total >= this.#config.sourceReadersClusterMax) return "cluster-budget";
    if ((this.#byOrigin.get(origin) ?? 0) >= this.#config.sourceReadersOriginMax) return "origin-budget";
    return undefined;
  }
}

/** Who is asked for content of this URL: host and port, or the bucket. Once for each task, so without taking the URL apart. */
export const originOf = (url: string): string => /^[a-z0-9+.-]+:\/\/(?:[^/?#]*@)?([^/?#]+)/i.exec(url)?.[1]?.toLowerCase() ?? "local"; // a file has none
