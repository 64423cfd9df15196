import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import { closeDescriptor, syncData, writeFully } from "../../../disk/descriptor.ts";

const RETRY_MS = 1000;
/** Of `everysec`. */
const SYNC_EVERY_MS = 1000;
const WRITE_BYTES_MAX = 16 * 1024 * 1024;

export type SyncPolicy = "always" | "everysec" | "no";

interface Item {
  readonly bytes: Buffer;
  /** How much was ever appended, with this. */
  readonly end: number;
}

interface Waiting {
  /** Of what was appended, how much has to be on disk. */
  readonly end: number;
  /** And how much while nothing can be written. */
  readonly own: number;
  readonly resume: () => void;
}

/**
 * Appends to the journal's file: what has come since the last write goes with one write and, as the policy wants it, one sync. What could not be written is
 * tried again each second, at the same place; what was written and not synced is kept until it is, since after a sync that failed nobody knows which of it the
 * system has thrown away.
 */
export class JournalWriter {
  readonly #clock: Clock;
  readonly #policy: () => SyncPolicy;
  readonly #onState: (problem: string | undefined) => void;
  #fd: number;
  /** Of the file: where the first byte that may not be on disk lies. */
  #syncedBytes: number;
  /** Written to the file since. */
  #unsynced: Buffer[] = [];
  #unsyncedBytes = 0;
  #queue: Item[] = [];
  readonly #switches: { readonly end: number; readonly fd: number }[] = [];
  #appended = 0;
  #written = 0;
  #synced = 0;
  #lastSyncMs: number;
  #running: Promise<void> | undefined;
  #closing = false;
  #problem: string | undefined;
  #waiting: Waiting[] = [];

  /** `bytes`: what the file has already, all of it on disk. */
  constructor(options: {
    readonly clock: Clock;
    readonly fd: number;
    readonly bytes: number;
    readonly policy: () => SyncPolicy;
    readonly onState: (problem: string | undefined) => void;
  }) {
    this.#clock = options.clock;
    this.#fd = options.fd;
    this.#syncedBytes = options.bytes;
    this.#policy = options.policy;
    this.#onState = options.onState;
    this.#lastSyncMs = options.clock.nowMs();
  }

  /** Bytes ever appended, … */
  get appended(): number {
    return this.#appended;
  }

  /** … and of them on disk. */
  get synced(): number {
    return this.#synced;
  }

  /** Of the file. */
  get fileBytes(): number {
    return this.#syncedBytes + this.#unsyncedBytes + this.pendingBytes;
  }

  get pendingBytes(): number {
    return this.#appended - this.#written;
  }

  /** Bytes that are the caller's no more. */
  append(bytes: Buffer): void {
    this.#appended += bytes.length;
    this.#queue.push({ bytes, end: this.#appended });
    this.#running ??= this.#run();
  }

  /** What is appended from now on goes to another file, which is empty. */
  switchTo(fd: number): void {
    this.#switches.push({ end: this.#appended, fd });
    this.#running ??= this.#run();
  }

  /**
   * Calls back once all that was appended so far is on disk; false: it is already. While nothing can be written it is enough that what was appended up to `own` is there: whoever has
   * written nothing since is told how things are.
   */
  whenSynced(resume: () => void, own = this.#appended): boolean {
    if (this.#synced >= (this.#problem === undefined ? this.#appended : own)) return false;
    this.#waiting.push({ end: this.#appended, own, resume });
    return true;
  }

  /** From time to time: what `everysec` has left to do. */
  tick(): void {
    if (this.#synced < this.#appended && this.#policy() !== "no") this.#running ??= this.#run();
  }

  /** Writes and syncs what is left, unless that fails, and closes the file. */
  async close(): Promise<void> {
    this.#closing = true;
    await (this.#running ??= this.#run());
    await closeDescriptor(this.#fd);
    for (const { resume } of this.#waiting.splice(0)) resume();
  }

  async #run(): Promise<void> {
    // All connections of this turn have their say first.
    await nextTurn();
    while (this.#queue.length > 0 || this.#switches.length > 0 || this.#mustSync()) {
      try {
        await this.#step();
        if (this.#problem !== undefined) this.#onState((this.#problem = undefined));
      } catch (thrown) {
        const reason = thrown instanceof AnaxError ? String(thrown.details["reason"] ?? thrown.message) : String(thrown);
        const isNew = this.#problem === undefined;
        this.#problem = reason;
        if (isNew) this.#failed(reason);
        if (this.#closing) break;
        await this.#clock.sleep(RETRY_MS);
      }
    }
    this.#running = undefined;
  }

  #failed(reason: string): void {
    this.#onState(reason);
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ own }) => own > this.#synced);
    for (const { own, resume } of waiting) if (own <= this.#synced) resume();
  }

  #mustSync(): boolean {
    if (this.#synced >= this.#written) return false;
    const policy = this.#policy();
    return this.#closing || policy === "always" || (policy === "everysec" && this.#clock.nowMs() - this.#lastSyncMs >= SYNC_EVERY_MS);
  }

  async #step(): Promise<void> {
    const next = this.#switches[0];
    if (next !== undefined && this.#written === next.end) {
      if (this.#synced < this.#written) await this.#sync();
      await closeDescriptor(this.#fd);
      this.#fd = next.fd;
      this.#syncedBytes = 0;
      this.#switches.shift();
      return;
    }
    await this.#write(next?.end ?? Infinity);
    if (this.#mustSync()) await this.#sync();
    else if (this.#policy() === "no") this.#settled();
  }

  async #write(limit: number): Promise<void> {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && this.#queue[count]!.end <= limit && bytes < WRITE_BYTES_MAX)
      bytes += this.#queue[count++]!.bytes.length;
    if (count === 0) return;
    const items = this.#queue.slice(0, count);
    const together = items.length === 1 ? items[0]!.bytes : Buffer.concat(items.map((item) => item.bytes));
    await writeFully(this.#fd, together, this.#syncedBytes + this.#unsyncedBytes);
    this.#queue.splice(0, count);
    this.#written += bytes;
    this.#unsynced.push(together);
    this.#unsyncedBytes += bytes;
  }

  async #sync(): Promise<void> {
    try {
      await syncData(this.#fd);
    } catch (thrown) {
      // Once more, so that the next sync has it all before it.
      await writeFully(this.#fd, Buffer.concat(this.#unsynced), this.#syncedBytes);
      throw thrown;
    }
    this.#lastSyncMs = this.#clock.nowMs();
    this.#settled();
  }

  /** What was written needs no more care. */
  #settled(): void {
    this.#synced = this.#written;
    while ((this.#waiting[0]?.end ?? Infinity) <= this.#synced) this.#waiting.shift()!.resume();
    this.#syncedBytes += this.#unsyncedBytes;
    this.#unsynced = [];
    this.#unsyncedBytes = 0;
  }
}
