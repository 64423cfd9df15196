import { existsSync } from "node:fs";
import { link, mkdir, open, readFile, rename, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { AnaxError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { replaceFile } from "../../../disk/atomic-replace.ts";
import { openDescriptor, syncDirectory } from "../../../disk/descriptor.ts";
import type { InfoField } from "../../info/sections.ts";
import { EffectStream, type Effects } from "../../propagation.ts";
import { REPLICATE } from "../../replicate.ts";
import type { Store } from "../../store.ts";
import type { DataDirectory } from "../data-directory.ts";
import { beginRdb } from "../rdb-of-store.ts";
import { NewFile } from "../snapshot-file.ts";
import { CommandEncoder } from "./command-encoder.ts";
import { JournalWriter, type SyncPolicy } from "./journal-writer.ts";
import { EMPTY_MANIFEST, manifestText, parseManifest, type JournalFile, type Manifest } from "./manifest.ts";
import { replay } from "./replay.ts";

/** After a rewrite that failed the next waits so long, longer each time. */
const RETRY_MS = 5000;
const RETRY_MS_MAX = 3_600_000;

/**
 * The journal: every change as the command that makes it, in files of Redis 7's form (docs/formats/store-journal.md). Its parts: what there was when it began or was
 * last rewritten, and the commands since, in one file or, after rewrites that failed, several.
 */
export class Journal implements AsyncDisposable {
  readonly #store: Store;
  readonly #directory: DataDirectory;
  readonly #log: Log;
  readonly #stream = new EffectStream(REPLICATE.journal);
  readonly #sink = (effects: Effects): void => this.#append(effects);
  #manifest: Manifest = EMPTY_MANIFEST;
  #writer: JournalWriter | undefined;
  /** Why nothing can be written to it now. */
  problem: string | undefined;
  #startedMs: number | undefined;
  scheduled = false;
  #lastSeconds = -1;
  #rewriteFailed = false;
  #rewrites = 0;
  #failures = 0;
  #triedMs = 0;
  /** Of all its files after the last rewrite, or the start. */
  #baseBytes = 0;
  #olderBytes = 0;
  #rewriting: Promise<void> | undefined;
  #replacing: Promise<void> | undefined;
  /** The highest of an increment, of those in the manifest and those that never came into it. */
  #sequence = 0;
  #syncedHistory = 0;
  #opening = false;
  #cancelled = false;

  constructor(store: Store, directory: DataDirectory, log: Log) {
    this.#store = store;
    this.#directory = directory;
    this.#log = log;
  }

  /** Changes are written to it. */
  get enabled(): boolean {
    return this.#writer !== undefined || this.#opening;
  }

  /** What there was when it was switched on is being written: before that is done it has nothing. */
  get opening(): boolean {
    return this.#opening;
  }

  get rewriting(): boolean {
    return this.#startedMs !== undefined;
  }

  /** Of what was appended, how much is on disk; less than nothing before there is a base to which it could be added. */
  get syncedOffset(): number {
    return this.#opening ? -1 : (this.#writer?.synced ?? 0);
  }

  /** Of the history, how much is on this server's disk; undefined: nothing is written there. */
  get syncedReplicationOffset(): number | undefined {
    if (this.#writer === undefined || this.#opening) return undefined;
    if (this.#writer.synced === this.#writer.appended) this.#syncedHistory = this.#store.replicationOffset;
    return this.#syncedHistory;
  }

  #path(name: string): string {
    return join(this.#directory.path, this.#store.parameters.appenddirname, name);
  }

  get #manifestPath(): string {
    return this.#path(`${this.#store.parameters.appendfilename}.manifest`);
  }

  /** Reads all its files into the store; false: there is none. Throws `disk.corrupt`, `disk.io`. */
  async load(): Promise<boolean> {
    if (!existsSync(this.#manifestPath) && !(await this.#takeOver())) return false;
    await this.#readManifest();
    await this.#finishTakeOver();
    const { base, increments } = this.#manifest;
    const files = [...(base === undefined ? [] : [base]), ...increments];
    const { databases } = this.#store;
    const { expiryMode } = databases[0]!;
    for (const db of databases) db.expiryMode = "keep";
    let bytes = 0;
    try {
      for (const file of files) bytes += await this.#replay(file, file === files.at(-1));
    } finally {
      for (const db of databases) db.expiryMode = expiryMode;
    }
    this.#baseBytes = this.#olderBytes = bytes;
    return true;
  }

  /** Before Redis 7 the journal was one file, beside the snapshot: it becomes the base. False: there is none. */
  async #takeOver(): Promise<boolean> {
    const { appendfilename, appenddirname } = this.#store.parameters;
    const old = this.#directory.file(appendfilename);
    if (!existsSync(old)) return false;
    await mkdir(join(this.#directory.path, appenddirname), { recursive: true });
    await rm(this.#path(appendfilename), { force: true }); // of a start that came no further
    await link(old, this.#path(appendfilename));
    await this.#putManifest({ ...EMPTY_MANIFEST, base: { name: appendfilename, sequence: 1 } });
    await rm(old);
    return true;
  }

  /** Redis names the one file in the manifest before it moves it, and may have come no further. */
  async #finishTakeOver(): Promise<void> {
    const { base, increments } = this.#manifest;
    const name = this.#store.parameters.appendfilename;
    if (base?.name !== name || increments.length > 0 || existsSync(this.#path(name)) || !existsSync(this.#directory.file(name))) return;
    await rename(this.#directory.file(name), this.#path(name));
    await syncDirectory(this.#path(""));
  }

  /** How many bytes of the file count. */
  async #replay(file: JournalFile, last: boolean): Promise<number> {
    const path = this.#path(file.name);
    if (!existsSync(path)) throw new AnaxError("disk.corrupt", { path, reason: "the manifest names it, and it is not there" });
    const { bytes, commands, tornAt } = await replay(this.#store, path);
    this.#log.info("store.journal-loaded", { path, bytes, commands });
    if (tornAt === undefined) return bytes;
    if (!last || !this.#store.parameters["aof-load-truncated"])
      throw new AnaxError("disk.corrupt", { path, offset: tornAt, reason: "it ends within a command" });
    this.#log.warn("store.journal-cut", { path, offset: tornAt, cutBytes: bytes - tornAt });
    await truncate(path, tornAt);
    return tornAt;
  }

  /** Writes changes from now on: behind what was loaded, or to a journal that begins with what there is. */
  async open(): Promise<void> {
    const last = this.#manifest.increments.at(-1);
    if (last === undefined) {
      this.#opening = true;
      this.rewrite();
      await this.#rewriting;
      if (this.#rewriteFailed) throw new AnaxError("disk.io", { path: this.#path(""), reason: "the journal cannot be written" });
      return;
    }
    const handle = await open(this.#path(last.name), "r");
    const { size } = await handle.stat();
    await handle.close();
    this.#olderBytes -= size;
    this.#begin(await openDescriptor(this.#path(last.name), "r+"), size);
  }

  #begin(fd: number, bytes: number): void {
    const store = this.#store;
    this.#writer = new JournalWriter({
      clock: store.clock,
      fd,
      bytes,
      appended: store.journalOffset,
      policy: () => store.parameters.appendfsync as SyncPolicy,
      onState: (problem) => {
        if (problem === undefined) this.#log.info("store.journal-recovered");
        else this.#log.error("store.journal-failed", { problem });
        this.problem = problem;
      },
    });
    this.#stream.restart();
    store.propagation.sinks.add(this.#sink);
    store.hold = this.#writer;
  }

  #append(effects: Effects): void {
    const parts: Buffer[] = [];
    this.#stream.write(effects, (bytes) => parts.push(bytes));
    if (parts.length > 0) this.#writer!.append(Buffer.concat(parts));
    this.#store.journalOffset = this.#writer!.appended;
  }

  /** `appendonly` was changed. */
  async switched(): Promise<void> {
    const wanted = this.#store.parameters.appendonly;
    if (wanted === this.enabled) return;
    if (wanted) {
      this.#opening = true;
      this.scheduled = true;
      this.tick();
    } else await this[Symbol.asyncDispose]();
  }

  /** All data are others now, and not by commands: what the journal has stays valid, as what was before, until one that begins with the new data is complete. */
  replaced(): void {
    if (!this.enabled) return;
    this.#replacing = this.#stop()
      .then(() => this.switched())
      .catch((error: unknown) => this.#log.error("store.journal-failed", { error }));
  }

  /** A journal that is only being begun has all that there is: without it the next start would read what was before. One attempt, if that has failed. */
  async opened(): Promise<void> {
    await this.#replacing;
    if (this.#opening && !this.rewriting) this.rewrite();
    await this.#rewriting;
  }

  /** Begins to write the journal anew; false: something else is being written, so it will begin after that. */
  rewrite(): boolean {
    const store = this.#store;
    if (store.snapshots.busy || this.rewriting) {
      this.scheduled = true;
      return false;
    }
    this.scheduled = false;
    this.#startedMs = this.#triedMs = store.nowMs;
    this.#rewriting = this.#rewrite();
    return true;
  }

  async #rewrite(): Promise<void> {
    const startedMs = this.#store.clock.nowMs();
    try {
      await this.#writeAnew();
      this.#rewriteFailed = false;
      this.#failures = 0;
      this.#rewrites++;
    } catch (thrown) {
      this.#rewriteFailed = true;
      this.#failures++;
      this.#log.error("store.journal-rewrite-failed", { error: thrown });
      if (this.#opening) this.scheduled = true;
    }
    this.#lastSeconds = Math.round((this.#store.clock.nowMs() - startedMs) / 1000);
    this.#startedMs = undefined;
  }

  async #writeAnew(): Promise<void> {
    const store = this.#store;
    const { appenddirname, "aof-use-rdb-preamble": asRdb } = store.parameters;
    await mkdir(join(this.#directory.path, appenddirname), { recursive: true });
    if (this.#writer === undefined) await this.#readManifest();
    const before = this.#manifest;
    // Without a journal that is written, this is a copy of what there is, and no more.
    const next = this.enabled ? await this.#nextIncrement() : undefined;
    const baseSequence = (before.base?.sequence ?? 0) + 1;
    const base: JournalFile = {
      name: `${store.parameters.appendfilename}.${baseSequence}.base.${asRdb ? "rdb" : "aof"}`,
      sequence: baseSequence,
    };
    while (store.snapshots.busy) await store.snapshots.free();
    using slot = store.snapshots.reserve();
    const file = await NewFile.create(this.#path(base.name), this.#path(`temp-${process.pid}.aof`));
    // The moment: what was changed before is in the base, what is changed from now on goes to the new file.
    const encoder = asRdb
      ? beginRdb(store, [["aof-base", "1"]])
      : new CommandEncoder([...store.scripting.libraries.all].map(({ code }) => code));
    const chunks = slot.begin(encoder, () => (this.#cancelled ? 0 : store.parameters["rdb-key-save-delay"] / 1000));
    if (next !== undefined) this.#switchTo(next.fd);
    const promotion = store.promotions.last;
    if (!(await file.fill(chunks, () => this.#cancelled))) throw new Error("the journal was switched off");
    const increments = next === undefined ? [] : [next.file];
    const replaced = [...(before.base === undefined ? [] : [before.base]), ...before.increments];
    await this.#putManifest({ base, increments, history: replaced });
    if (next !== undefined) store.promotions.saved = promotion;
    this.#opening = false;
    this.#olderBytes = file.bytes;
    this.#baseBytes = file.bytes + (this.#writer?.fileBytes ?? 0);
    for (const { name } of replaced) if (name !== base.name) await rm(this.#path(name), { force: true });
    await this.#putManifest({ base, increments, history: [] });
    this.#log.info("store.journal-rewritten", { path: this.#path(base.name), bytes: file.bytes });
  }

  /** The file for changes from the next moment on: whatever becomes of the base, they may go there; before there is any base it would mean nothing alone. */
  async #nextIncrement(): Promise<{ readonly file: JournalFile; readonly fd: number }> {
    const { increments } = this.#manifest;
    const sequence = (this.#sequence = Math.max(this.#sequence, increments.at(-1)?.sequence ?? 0) + 1);
    const file: JournalFile = { name: `${this.#store.parameters.appendfilename}.${sequence}.incr.aof`, sequence };
    const fd = await openDescriptor(this.#path(file.name), "w", 0o644);
    await syncDirectory(this.#path(""));
    if (!this.#opening) await this.#putManifest({ ...this.#manifest, increments: [...increments, file] });
    return { file, fd };
  }

  #switchTo(fd: number): void {
    if (this.#writer === undefined) return this.#begin(fd, 0);
    this.#olderBytes += this.#writer.fileBytes;
    this.#writer.switchTo(fd);
    this.#stream.restart();
  }

  async #readManifest(): Promise<void> {
    this.#manifest = existsSync(this.#manifestPath)
      ? parseManifest(await readFile(this.#manifestPath, "utf8"), this.#manifestPath)
      : EMPTY_MANIFEST;
  }

  async #putManifest(manifest: Manifest): Promise<void> {
    await replaceFile(this.#manifestPath, manifestText(manifest));
    this.#manifest = manifest;
  }

  /** From time to time: writes it anew when that is due. */
  tick(): void {
    this.#writer?.tick();
    const { snapshots, parameters, nowMs } = this.#store;
    if (snapshots.busy || this.rewriting) return;
    const failing = this.#failures > 0 && nowMs - this.#triedMs < Math.min(RETRY_MS * 2 ** (this.#failures - 1), RETRY_MS_MAX);
    if (this.scheduled && !failing) return void this.rewrite();
    const percent = parameters["auto-aof-rewrite-percentage"];
    if (this.#writer === undefined || percent === 0 || failing) return;
    const bytes = this.#bytes;
    if (bytes > parameters["auto-aof-rewrite-min-size"] && bytes >= Math.max(1, this.#baseBytes) * (1 + percent / 100)) this.rewrite();
  }

  get #bytes(): number {
    return this.#olderBytes + (this.#writer?.fileBytes ?? 0);
  }

  info(): readonly InfoField[] {
    const { nowMs } = this.#store;
    return [
      ["aof_enabled", this.enabled ? 1 : 0],
      ["aof_rewrite_in_progress", this.rewriting ? 1 : 0],
      ["aof_rewrite_scheduled", this.scheduled ? 1 : 0],
      ["aof_last_rewrite_time_sec", this.#lastSeconds],
      ["aof_current_rewrite_time_sec", this.#startedMs === undefined ? -1 : Math.floor((nowMs - this.#startedMs) / 1000)],
      ["aof_last_bgrewrite_status", this.#rewriteFailed ? "err" : "ok"],
      ["aof_rewrites", this.#rewrites],
      ["aof_rewrites_consecutive_failures", this.#failures],
      ["aof_last_write_status", this.problem === undefined ? "ok" : "err"],
      ["aof_last_cow_size", 0],
      ...(this.#writer === undefined ? [] : this.#sizes(this.#writer)),
    ];
  }

  #sizes(writer: JournalWriter): readonly InfoField[] {
    return [
      ["aof_current_size", this.#bytes],
      ["aof_base_size", this.#baseBytes],
      ["aof_pending_rewrite", 0],
      ["aof_buffer_length", writer.pendingBytes],
      ["aof_pending_bio_fsync", writer.syncing ? 1 : 0],
      ["aof_delayed_fsync", writer.lateCount],
    ];
  }

  /** Reads in all that it has in place of what the store has: `DEBUG LOADAOF`. */
  async reload(): Promise<void> {
    await this.flushed();
    const store = this.#store;
    for (const db of store.databases) store.flush(db);
    store.scripting.libraries.clear();
    store.propagation.sinks.delete(this.#sink);
    try {
      await this.load();
    } finally {
      if (this.#writer !== undefined) store.propagation.sinks.add(this.#sink);
    }
  }

  /** What was appended so far is in the file. */
  async flushed(): Promise<void> {
    await this.#writer?.flushed();
  }

  /** The same, whatever `appendfsync` says. */
  async forced(): Promise<void> {
    await this.#writer?.forced();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stop();
  }

  /** Nothing is written to it from now on. */
  async #stop(): Promise<void> {
    this.#cancelled = true;
    this.#store.propagation.sinks.delete(this.#sink);
    await this.#rewriting;
    this.#cancelled = false;
    this.#opening = this.scheduled = false;
    this.#store.propagation.sinks.delete(this.#sink);
    const writer = this.#writer;
    this.#writer = undefined;
    await writer?.close();
    this.#store.hold = undefined;
    this.problem = undefined;
  }
}
