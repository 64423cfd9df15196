import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../../base/clock.ts";
import type { AnaxError } from "../../../base/errors.ts";
import { diskErrorOf } from "../../../disk/disk-error.ts";
import { QuickWrites } from "../../../disk/quick-writes.ts";
import type { ReplyHold } from "../../store.ts";
import { HeldReplies } from "./held-replies.ts";
import { JournalTail, type SyncFile } from "./journal-tail.ts";

const RETRY_MS = 1000;
/** Of `everysec`, … */
const SYNC_EVERY_MS = 1000;
/** … or sooner, when so much is not on disk. */
const SYNC_BYTES = 32 * 1024 * 1024;
/** Of `everysec`: nobody is told that something was written while what was written longer ago is not on disk. */
const LATE_MS = 2000;
/** While more waits for the disk, nobody is told so, nor read from. */
const UNSYNCED_BYTES_MAX = 256 * 1024 * 1024;
const WRITE_BYTES_MAX = 16 * 1024 * 1024;

export type SyncPolicy = "always" | "everysec" | "no";

/**
 * Appends to the journal's file. Replies wait until what they tell of is in the file, where it outlives this process, and with `always` until it is on disk. With the other policies it is
 * written right here, once for a turn of the loop, before the turn's replies are sent; where that might take long, as the disk is slow or a sync is under way, by the thread pool, which also
 * does all syncs and, with `always`, one write and one sync for a turn. What could not be written is tried again each second, at the same place.
 */
export class JournalWriter implements ReplyHold {
  readonly #clock: Clock;
  readonly #policy: () => SyncPolicy;
  readonly #onState: (problem: string | undefined) => void;
  readonly #tail: JournalTail;
  readonly #held = new HeldReplies();
  #queue: Buffer[] = [];
  readonly #switches: { readonly end: number; readonly fd: number }[] = [];
  /** Bytes ever: places in the history of all its files. */
  #appended: number;
  /** What was appended before is to be on disk though the policy does not want it. */
  #forced = 0;
  #written: number;
  /** What was appended before is on disk. */
  #durableMs: number;
  /** One write, sync or change of the file after the other, in the thread pool. */
  #running: Promise<void> | undefined;
  /** One at a time; of `everysec` beside everything else. */
  #syncing: Promise<void> | undefined;
  /** Why one that was beside failed. */
  #asideFailure: AnaxError | undefined;
  #closing = false;
  #problem: string | undefined;
  #late = false;
  lateCount = 0;

  /** `bytes`: what the file has already, all of it on disk; `appended`: how much was ever appended before. */
  constructor(options: {
    readonly clock: Clock;
    readonly fd: number;
    readonly bytes: number;
    readonly appended: number;
    readonly policy: () => SyncPolicy;
    readonly onState: (problem: string | undefined) => void;
    readonly syncFile?: SyncFile;
  }) {
    const { clock, fd, bytes, syncFile } = options;
    this.#clock = clock;
    this.#tail = new JournalTail({ fd, bytes, quick: new QuickWrites(clock), syncFile });
    this.#appended = this.#written = options.appended;
    this.#policy = options.policy;
    this.#onState = options.onState;
    this.#durableMs = clock.nowMs();
  }

  /** Bytes ever appended, … */
  get appended(): number {
    return this.#appended;
  }

  /** … and of them on disk. */
  get synced(): number {
    return this.#written - this.#tail.unsyncedBytes;
  }

  get syncing(): boolean {
    return this.#syncing !== undefined;
  }

  /** Of the file. */
  get fileBytes(): number {
    return this.#tail.bytes + this.pendingBytes;
  }

  get pendingBytes(): number {
    return this.#appended - this.#written;
  }

  get full(): boolean {
    return this.#appended - this.synced > UNSYNCED_BYTES_MAX;
  }

  /** Bytes that are the caller's no more. They are written before anybody is told of them, or by the next `tick`. */
  append(bytes: Buffer): void {
    this.#appended += bytes.length;
    this.#queue.push(bytes);
    if (this.#queue.length === 1 && this.#policy() === "always") this.#run();
  }

  /** What is appended from now on goes to another file, which is empty. */
  switchTo(fd: number): void {
    this.#switches.push({ end: this.#appended, fd });
    this.#run();
  }

  mustWait({ journalOffset }: { readonly journalOffset: number }): boolean {
    // While nothing can be written, whoever has written nothing since is told how things are.
    const end = this.#problem === undefined ? this.#appended : journalOffset;
    if (this.#policy() === "always") return this.synced < end;
    this.#writeNow();
    return this.#written < end || (this.#waitsForDisk && this.synced < journalOffset);
  }

  wait({ journalOffset }: { readonly journalOffset: number }, resume: () => void): void {
    const end = this.#appended;
    const synced = this.#policy() === "always" ? end : this.#waitsForDisk ? journalOffset : 0;
    this.#held.add({ written: end, synced, own: journalOffset, resume });
  }

  get #waitsForDisk(): boolean {
    return (this.#late || this.full) && this.#policy() === "everysec";
  }

  /** From time to time: writes what nobody was told of, and does what `everysec` has left to do. */
  tick(): void {
    this.#writeNow();
    const nowMs = this.#clock.nowMs();
    if (this.synced === this.#appended) this.#durableMs = nowMs;
    if (this.#policy() !== "everysec" || this.synced === this.#written) return;
    if (nowMs - this.#durableMs >= SYNC_EVERY_MS) this.#syncAside();
    if (this.#late || nowMs - this.#durableMs < LATE_MS) return;
    this.#late = true;
    this.lateCount++;
  }

  /** Resolves when all that was appended so far is on disk, whatever the policy. */
  async forced(): Promise<void> {
    const end = (this.#forced = this.#appended);
    if (this.synced >= end) return;
    this.#run();
    await new Promise<void>((resume) => this.#held.add({ written: end, synced: end, own: end, resume }));
  }

  get #isForced(): boolean {
    return this.synced < this.#forced;
  }

  /** Resolves when all that was appended so far is in the file. */
  async flushed(): Promise<void> {
    const end = this.#appended;
    this.#writeNow();
    await new Promise<void>((resolve) => {
      if (this.#written >= end) return resolve();
      this.#held.add({ written: end, synced: 0, own: end, resume: resolve });
    });
  }

  /** Writes and syncs what is left, unless that fails, and closes the file. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#run();
    await this.#running;
    await this.#syncEnded();
    await this.#tail.close();
    this.#held.releaseAll();
  }

  /** Writes what is there, as far as that is quick; the rest is left to the pool. */
  #writeNow(): void {
    if (this.#queue.length === 0) return;
    if (this.#running === undefined && this.#syncing === undefined && this.#policy() !== "always") {
      const all = joined(this.#queue);
      const written = this.#tail.writeSome(all);
      this.#queue = written === all.length ? [] : [all.subarray(written)];
      if (written > 0) this.#wrote(written);
      if (written === all.length) return;
    }
    this.#run();
  }

  #run(): void {
    this.#running ??= this.#steps();
  }

  async #steps(): Promise<void> {
    // All connections of this turn have their say first.
    await nextTurn();
    do {
      try {
        await this.#step();
        if (this.#problem !== undefined) this.#onState((this.#problem = undefined));
      } catch (thrown) {
        this.#failed(diskErrorOf(thrown));
        if (this.#closing) break;
        await this.#clock.sleep(RETRY_MS);
      }
    } while (this.#mustGoOn());
    this.#running = undefined;
    if (!this.#closing) this.#writeNow(); // what came meanwhile
  }

  #failed({ details, message }: AnaxError): void {
    const reason = String(details["reason"] ?? message);
    const isNew = this.#problem === undefined;
    this.#problem = reason;
    if (!isNew) return;
    this.#onState(reason);
    this.#held.releaseOthers(this.#written, this.synced);
  }

  /** There is something that cannot be left to `#writeNow` and `#syncAside`. */
  #mustGoOn(): boolean {
    if (this.#switches.length > 0 || this.#problem !== undefined || this.#mustSync()) return true;
    return this.#queue.length > 0 && (this.#closing || this.#isForced || this.#syncing !== undefined || this.#policy() === "always");
  }

  #mustSync(): boolean {
    return this.synced < this.#written && (this.#closing || this.#isForced || this.#tail.suspect || this.#policy() === "always");
  }

  async #step(): Promise<void> {
    const failure = this.#asideFailure;
    this.#asideFailure = undefined;
    if (failure !== undefined) throw failure;
    const next = this.#switches[0];
    if (next !== undefined && this.#written === next.end) {
      await this.#syncEnded();
      if (this.synced < this.#written) await this.#syncOnce();
      await this.#tail.continueIn(next.fd);
      this.#switches.shift();
      return;
    }
    await this.#write(next === undefined ? Infinity : next.end - this.#written);
    if (this.#mustSync()) await this.#sync();
  }

  /** At most so many bytes, which end where one of those that were appended ends. */
  async #write(limit: number): Promise<void> {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && bytes < Math.min(limit, WRITE_BYTES_MAX)) bytes += this.#queue[count++]!.length;
    if (count === 0) return;
    await this.#tail.write(joined(this.#queue.slice(0, count)));
    this.#queue.splice(0, count);
    this.#wrote(bytes);
  }

  #wrote(bytes: number): void {
    this.#written += bytes;
    if (this.#policy() === "no" && !this.#isForced) this.#tail.settle();
    this.#held.release(this.#written, this.synced);
    if (this.#tail.unsyncedBytes >= SYNC_BYTES && this.#policy() === "everysec") this.#syncAside();
  }

  async #sync(): Promise<void> {
    await this.#syncEnded();
    await this.#syncOnce();
  }

  #syncAside(): void {
    if (this.#syncing !== undefined || this.#tail.suspect || this.#switches.length > 0 || this.#problem !== undefined) return;
    this.#syncOnce().catch((thrown: unknown) => {
      if (this.#closing) return; // `close` tries again
      this.#asideFailure = diskErrorOf(thrown);
      this.#run();
    });
  }

  /** Whoever began it hears what has become of it. */
  async #syncEnded(): Promise<void> {
    await this.#syncing?.catch(() => {});
  }

  #syncOnce(): Promise<void> {
    return (this.#syncing ??= this.#syncWritten().finally(() => (this.#syncing = undefined)));
  }

  async #syncWritten(): Promise<void> {
    const startedMs = this.#clock.nowMs();
    await this.#tail.sync();
    this.#durableMs = startedMs;
    this.#late = false;
    this.#held.release(this.#written, this.synced);
  }
}

const joined = (parts: readonly Buffer[]): Buffer => (parts.length === 1 ? parts[0]! : Buffer.concat(parts));
