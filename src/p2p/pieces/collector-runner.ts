import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { Semaphore } from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import { freeSpaceOf, type FreeSpace } from "../../disk/free-space.ts";
import {
  planEviction,
  shortageOf,
  surplusOf,
  verdictsOf,
  type CollectionNeed,
  type EvictionPlan,
  type Room,
  type Victim,
} from "./collector.ts";
import type { PiecesConfig } from "./config.ts";
import type { OutsideUses } from "./in-use.ts";
import type { PiecesMetrics } from "./metrics.ts";
import type { TaskBytes } from "./store-sums.ts";
import type { TaskOnDisk } from "./task-on-disk.ts";
import type { Collection, CollectOptions } from "./types.ts";
import { withSignal } from "./with-signal.ts";

/** Admissions that wait for their turn; each asks the disk and may delete files. */
const WAITING_MAX = 4096;

interface CollectorOptions {
  readonly dir: string;
  readonly config: PiecesConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: PiecesMetrics;
  readonly tasks: () => Iterable<TaskOnDisk>;
  /** Of all of them. */
  readonly sums: TaskBytes;
  readonly outside: OutsideUses;
  /** Deletes a task unless somebody came to use it meanwhile; tells whether it did. */
  readonly evict: (victim: Victim) => Promise<boolean>;
}

/** For content up to so many bytes what the disk said is good for so long, as long as besides so many bytes were free then. */
const SMALL = { bytes: 1024 * 1024, seenMs: 100, ampleBytes: 1024 ** 3 } as const;

/** Those end, and what they leave may be collected. */
const isHeldByDownloads = (error: unknown): boolean =>
  error instanceof AnaxError &&
  error.code === "disk.full" &&
  Array.isArray(error.details["inUse"]) &&
  error.details["inUse"].some((kept) => String(kept).startsWith("download:"));

/** Keeps the store within its bounds: makes room for what comes, and deletes what nobody uses. */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #turn = new Semaphore({ slots: 1, waitingMax: WAITING_MAX });
  /** Set while somebody waits for it. */
  #released: PromiseWithResolvers<void> | undefined;
  /** What was found last. */
  #seen: (Room & { readonly atMs: number }) | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /**
   * Sets space aside for what a task is still missing, deleting what is not in use, and waiting for what other downloads hold. Throws `disk.full` when
   * that does not suffice; nothing is deleted then, since it would not help.
   */
  async reserve(task: TaskOnDisk, signal: AbortSignal): Promise<void> {
    const { clock, config } = this.#options;
    const untilMs = clock.nowMs() + config.spaceWaitMs;
    for (;;) {
      const { promise: released } = (this.#released ??= Promise.withResolvers()); // from now on, also while it looks
      try {
        return await this.#reserveNow(task, signal);
      } catch (error) {
        const leftMs = untilMs - clock.nowMs();
        if (leftMs <= 0 || !isHeldByDownloads(error)) throw error;
        using patience = clock.deadline(leftMs, signal);
        await withSignal(released, patience.signal).catch(() => signal.throwIfAborted());
      }
    }
  }

  /** As `reserve`, where that takes no waiting; false where it may. */
  tryReserve(task: TaskOnDisk): boolean {
    task.reserve();
    if (this.#hasAmple(task.reservedBytes)) return true;
    task.unreserveQuietly();
    return false;
  }

  /** Somebody let go of a task or of space. */
  released(): void {
    this.#released?.resolve();
    this.#released = undefined;
  }

  async #reserveNow(task: TaskOnDisk, signal: AbortSignal): Promise<void> {
    using _ = await this.#turn.acquire(signal); // one at a time, or two would count on the same bytes
    task.reserve();
    try {
      await this.#makeRoom(task.reservedBytes, task);
    } catch (error) {
      task.unreserveQuietly();
      throw error;
    }
  }

  /** Makes room under the quota for content that is on the disk already. Throws `disk.full`. */
  async admit(bytes: number): Promise<void> {
    using _ = await this.#turn.acquire();
    const { quotaBytes } = this.#options.config;
    if (quotaBytes === 0) return;
    const room = await this.room();
    const shortageBytes = room.heldBytes + room.reservedBytes + bytes - quotaBytes;
    if (shortageBytes > 0) await this.#free(shortageBytes, { room, neededBytes: bytes });
  }

  /** Collects now and then until the signal aborts; `tick` runs before each pass. */
  async run(signal: AbortSignal, tick: () => void): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#options.clock.sleep(this.#options.config.collectIntervalMs, signal);
        tick();
        await this.#pass({}, signal);
      } catch (error) {
        if (!signal.aborted) this.#options.log.warn("store.collection-failed", { reason: String(error) });
      }
    }
  }

  /** One pass, and what became of each task. */
  async collect(options: CollectOptions): Promise<Collection> {
    await this.#options.outside.ask(0);
    const { neededBytes, tasks, gone } = await this.#pass(options);
    return { neededBytes, ...verdictsOf(tasks, gone) };
  }

  /** Expired tasks go, and the surplus over the shares of the disk. */
  async #pass({ dryRun = false, freeBytes = 0 }: CollectOptions, signal?: AbortSignal) {
    using _ = await this.#turn.acquire(signal);
    const { config, clock } = this.#options;
    const neededBytes = Math.max(freeBytes, surplusOf(await this.room(), config));
    const tasks = [...this.#options.tasks()];
    const plan = await this.#plan(tasks, { bytes: neededBytes, unusedSinceMs: clock.wallMs() - config.taskTtlMs });
    return { neededBytes, tasks, gone: dryRun ? plan.evict : await this.#carryOut(plan) };
  }

  async room(): Promise<Room & { readonly disk: FreeSpace }> {
    const disk = await freeSpaceOf(this.#options.dir);
    const { heldBytes, reservedBytes } = this.#options.sums;
    const atMs = this.#options.clock.nowMs();
    this.#seen = { atMs, heldBytes, reservedBytes, diskTotalBytes: disk.totalBytes, diskFreeBytes: disk.freeBytes };
    return { heldBytes, reservedBytes, diskTotalBytes: disk.totalBytes, diskFreeBytes: disk.freeBytes, disk };
  }

  async #makeRoom(neededBytes: number, wanted: TaskOnDisk): Promise<void> {
    if (neededBytes === 0 || this.#hasAmple(neededBytes)) return; // for nothing, nothing will be written
    const room = await this.room();
    const shortageBytes = shortageOf(room, this.#options.config);
    if (shortageBytes > 0) await this.#free(shortageBytes, { room, neededBytes, wanted });
  }

  /** There was plenty a moment ago: thousands of small ones a second need not ask the disk each. */
  #hasAmple(neededBytes: number): boolean {
    const { clock, config, sums } = this.#options;
    const seen = this.#seen;
    if (neededBytes > SMALL.bytes || seen === undefined || clock.nowMs() - seen.atMs > SMALL.seenMs) return false;
    const { heldBytes, reservedBytes } = sums;
    const diskFreeBytes = seen.diskFreeBytes - Math.max(0, heldBytes - seen.heldBytes); // what was written since
    return shortageOf({ ...seen, heldBytes, reservedBytes, diskFreeBytes }, config) < -SMALL.ampleBytes;
  }

  async #free(
    shortageBytes: number,
    facts: { readonly room: Room; readonly neededBytes: number; readonly wanted?: TaskOnDisk },
  ): Promise<void> {
    const others = [...this.#options.tasks()].filter((task) => task !== facts.wanted);
    const plan = await this.#plan(others, { bytes: shortageBytes, unusedSinceMs: -Infinity });
    if (!plan.enough) {
      const { room, neededBytes } = facts;
      const kept = Object.entries(plan.kept).map(([reason, count]) => `${reason}:${count}`);
      const { quotaBytes } = this.#options.config;
      throw new AnaxError("disk.full", {
        neededBytes,
        freeBytes: room.diskFreeBytes,
        reservedBytes: room.reservedBytes - neededBytes,
        quotaBytes: quotaBytes === 0 ? undefined : quotaBytes,
        shortBytes: shortageBytes - plan.freedBytes,
        inUse: kept.length === 0 ? undefined : kept,
      });
    }
    await this.#carryOut(plan);
  }

  /** Where something may have to go, the outside is asked first what it uses. */
  async #plan(tasks: readonly TaskOnDisk[], need: CollectionNeed): Promise<EvictionPlan> {
    const deletes = need.bytes > 0 || tasks.some(({ accessedAtMs }) => accessedAtMs < need.unusedSinceMs);
    if (deletes) await this.#options.outside.ask();
    return planEviction(tasks, need);
  }

  /** Returns what went. */
  async #carryOut(plan: EvictionPlan): Promise<readonly Victim[]> {
    const { log, metrics, evict } = this.#options;
    for (const [reason, count] of Object.entries(plan.kept)) metrics.kept.inc({ reason }, count);
    const gone: Victim[] = [];
    for (const victim of plan.evict) if (await evict(victim)) gone.push(victim);
    if (gone.length > 0) log.info("store.collected", { tasks: gone.length, freedBytes: plan.freedBytes, kept: plan.kept });
    return gone;
  }
}
