import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import type { Clock } from "../../../base/clock.ts";
import { errorOf, systemCodeOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { replaceFile } from "../../../disk/atomic-replace.ts";
import type { TaskId } from "../../model/ids.ts";
import type { DownloadRequest } from "../types.ts";
import { Remembered, rememberedOf } from "./remembered.ts";

const RecordFile = z.strictObject({ version: z.literal(1), downloads: z.array(Remembered) });

/** How long a download must have run to be remembered, and how often at most the file is written: small files cost nothing. */
const SETTLE_MS = 500;
/** More than may run and wait by default; what comes beyond it is not remembered. */
const ENTRIES_MAX = 8192;
/** Far more than so many entries take. */
const FILE_BYTES_MAX = 256 * 1024 * 1024;

export interface RunningRecordParts {
  readonly path: string;
  /** False: nothing is remembered, and what was is forgotten. */
  readonly enabled: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Which downloads run, on disk, so that the next process can go on with them. A download is in the file half a second after its start, and
 * out of it half a second after its end. Where the file cannot be written, downloads go on unremembered.
 */
export class RunningRecord implements AsyncDisposable {
  readonly #parts: RunningRecordParts;
  readonly #entries = new Map<TaskId, Remembered>();
  /** Began less than `SETTLE_MS` ago. */
  readonly #fresh = new Map<TaskId, { readonly request: DownloadRequest; readonly sinceMs: number; readonly untilMs: number }>();
  readonly #earlier: Promise<readonly Remembered[]>;
  #changed = false;
  #timer: Disposable | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isFailing = false;

  constructor(parts: RunningRecordParts) {
    this.#parts = parts;
    this.#earlier = this.#load();
  }

  /** What the process before this one left running, those that began first at the beginning. Never throws. */
  earlier(): Promise<readonly Remembered[]> {
    return this.#earlier;
  }

  find(task: TaskId): Remembered | undefined {
    return this.#entries.get(task);
  }

  /** A download of this task runs for this request; a request that was noted before is replaced. */
  note(task: TaskId, request: DownloadRequest): void {
    const { enabled, clock } = this.#parts;
    if (!enabled || this.#fresh.size + this.#entries.size >= ENTRIES_MAX) return;
    this.#fresh.set(task, { request, sinceMs: clock.nowMs(), untilMs: clock.wallMs() + request.timeoutMs });
    this.#arm();
  }

  /** It is over. */
  drop(task: TaskId): void {
    this.#fresh.delete(task);
    if (this.#entries.delete(task)) this.#change();
  }

  /** It has brought a piece, so it is no reason why the daemon dies. */
  progressed(task: TaskId): void {
    const entry = this.#entries.get(task);
    if (entry === undefined || entry.starts === 0) return;
    this.#entries.set(task, { ...entry, starts: 0 });
    this.#change();
  }

  /** Counts a start at which it is resumed; on the disk when this resolves. */
  async started(task: TaskId): Promise<void> {
    const entry = this.#entries.get(task);
    if (entry === undefined) return;
    this.#entries.set(task, { ...entry, starts: entry.starts + 1 });
    this.#changed = true;
    await this.#write();
  }

  /** What still runs is remembered, however short. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#earlier;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#settle(Infinity);
    await this.#write();
  }

  #change(): void {
    this.#changed = true;
    this.#arm();
  }

  #arm(): void {
    this.#timer ??= this.#parts.clock.timer(SETTLE_MS, () => {
      this.#timer = undefined;
      this.#settle(this.#parts.clock.nowMs() - SETTLE_MS);
      void this.#write();
      if (this.#fresh.size > 0) this.#arm();
    });
  }

  /** Those that began until then are no longer fresh. */
  #settle(untilMs: number): void {
    for (const [task, { request, sinceMs, ...times }] of this.#fresh) {
      if (sinceMs > untilMs) continue;
      this.#fresh.delete(task);
      this.#entries.set(task, rememberedOf(task, request, times.untilMs));
      this.#changed = true;
    }
  }

  /** One write at a time; it writes what is true when its turn comes, so that of many changes few writes follow. */
  #write(): Promise<void> {
    return (this.#writing = this.#writing.then(() => this.#writeNow()));
  }

  async #writeNow(): Promise<void> {
    await this.#earlier;
    if (!this.#changed) return;
    this.#changed = false;
    const { path, log } = this.#parts;
    const content = JSON.stringify({ version: 1, downloads: [...this.#entries.values()] } satisfies z.input<typeof RecordFile>);
    try {
      await replaceFile(path, content, { mode: 0o600 });
      this.#isFailing = false;
    } catch (thrown) {
      this.#changed = true;
      if (!this.#isFailing) log.warn("downloads.not-remembered", { path, reason: errorOf(thrown).message });
      this.#isFailing = true;
    }
  }

  /** A file that makes no sense is no reason not to start: what it named is asked for again, or not. */
  async #load(): Promise<readonly Remembered[]> {
    const { path, enabled, log } = this.#parts;
    let found: readonly Remembered[] = [];
    try {
      const { size } = await stat(path);
      if (size > FILE_BYTES_MAX) throw new Error(`${size} bytes`);
      found = RecordFile.parse(JSON.parse(await readFile(path, "utf8"))).downloads.slice(0, ENTRIES_MAX);
    } catch (thrown) {
      if (systemCodeOf(thrown) !== "ENOENT") log.warn("downloads.forgotten", { path, reason: String(thrown).slice(0, 500) });
    }
    if (!enabled) {
      this.#changed = found.length > 0;
      return [];
    }
    for (const entry of found)
      if (!this.#fresh.has(entry.taskId) && !this.#entries.has(entry.taskId)) this.#entries.set(entry.taskId, entry);
    return found;
  }
}
