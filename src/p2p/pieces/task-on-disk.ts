import { statSync, type BigIntStats } from "node:fs";
import { crc32 } from "node:zlib";
import { AnaxError, errorOf } from "../../base/errors.ts";
import type { TaskId } from "../model/ids.ts";
import { pieceRangeOf, type Bitmap, type Digest } from "../model/piece.ts";
import type { ByteRange, TaskMeta, TrafficType } from "../model/types.ts";
import type { ContentFile } from "./content-file.ts";
import type { TaskRow } from "./database.ts";
import { fileIdOf, type Use } from "./in-use.ts";
import { LeaseCounts } from "./lease-counts.ts";
import type { PieceFacts, PieceTable } from "./piece-table.ts";
import type { WriterOptions, WriterTask } from "./piece-writer.ts";
import { PieceWriters } from "./piece-writers.ts";
import { TaskChanges } from "./task-changes.ts";
import { TaskCompletion, type CompletableTask } from "./task-completion.ts";
import { NO_BYTES, type TaskBytes } from "./store-sums.ts";
import type { TaskServices } from "./task-services.ts";
import { encodeMeta, encodeParents } from "./task-row.ts";
import { streamOf, type StreamTask } from "./task-stream.ts";
import { TaskWaiters } from "./task-waiters.ts";
import type { InUseReason, PieceInfo, PieceWriter, StoredState, StoredTask } from "./types.ts";
import { withSignal } from "./with-signal.ts";
import { crc32OfRange, verifyRecorded, type VerifiableTask } from "./verify.ts";

export interface TaskState {
  readonly meta: TaskMeta;
  readonly table: PieceTable;
  readonly file: ContentFile;
  readonly createdAtMs: number;
  readonly accessedAtMs: number;
  /** Set: the content was verified and synced in an earlier life. */
  readonly finishedAtMs: number | undefined;
  readonly uploadedBytes: number;
  readonly pinnedUntilMs: number | undefined;
  /** What its file takes on the disk, if that was looked at. */
  readonly takenBytes: number;
}

/** A task of the store: the only one who changes its records and its file. */
export class TaskOnDisk implements StoredTask, WriterTask, StreamTask, VerifiableTask, CompletableTask {
  #meta: TaskMeta;
  readonly createdAtMs: number;
  readonly #services: TaskServices;
  readonly #table: PieceTable;
  readonly #file: ContentFile;
  readonly #waiters = new TaskWaiters();
  readonly #leases = new LeaseCounts();
  readonly #writers = new Map<number, PieceWriters>();

  #accessedAtMs: number;
  #uploadedBytes: number;
  #pinnedUntilMs: number | undefined;
  /** What its file took when that was last looked at: more than what is held where pieces broke off, and on account of whole blocks. */
  #measuredBytes: number;
  #removed = false;
  #failures = 0;
  #lastFailure: Error | undefined;
  /** Space for what is missing is set aside. */
  #reserved = false;
  /** The store has it among its tasks. */
  #listed = false;
  /** Its part in the sums of the store. */
  #counted: TaskBytes = NO_BYTES;

  #unverifiedLeft: boolean;
  #verifying: Promise<void> | undefined;
  readonly #wanted = new Set<number>();
  readonly #changes: TaskChanges;
  readonly #completion: TaskCompletion;

  constructor(state: TaskState, services: TaskServices) {
    this.#meta = state.meta;
    this.#services = services;
    this.#table = state.table;
    this.#file = state.file;
    this.createdAtMs = state.createdAtMs;
    this.#accessedAtMs = state.accessedAtMs;
    this.#uploadedBytes = state.uploadedBytes;
    this.#pinnedUntilMs = state.pinnedUntilMs;
    this.#measuredBytes = state.takenBytes;
    this.#changes = new TaskChanges({ id: state.meta.id, table: state.table, row: () => this.#row() }, services.commits);
    this.#completion = new TaskCompletion(this, { file: state.file, changes: this.#changes, services }, state.finishedAtMs);
    this.#unverifiedLeft = !this.verified && this.#indices().some((index) => this.isUnverified(index));
  }

  // What it is

  get id(): TaskId {
    return this.#meta.id;
  }

  get meta(): TaskMeta {
    return this.#meta;
  }

  get pieceCount(): number {
    return this.#meta.pieceCount;
  }

  get path(): string {
    return this.#file.path;
  }

  get fd(): number {
    this.#mustExist();
    return this.#file.fd;
  }

  get state(): StoredState {
    if (this.verified) return "finished";
    return this.#unverifiedLeft ? "verifying" : "partial";
  }

  get verified(): boolean {
    return this.finishedAtMs !== undefined;
  }

  get removed(): boolean {
    return this.#removed;
  }

  get held(): Bitmap {
    return this.#table.held;
  }

  get finished(): Bitmap {
    return this.#table.held;
  }

  get heldBytes(): number {
    return this.#table.heldBytes;
  }

  get reserved(): boolean {
    return this.#reserved;
  }

  get reservedBytes(): number {
    return this.#reserved ? Math.max(0, this.#meta.contentLength - this.takenBytes) : 0;
  }

  /** What it takes on the disk, as far as is known. */
  get takenBytes(): number {
    return Math.max(this.#table.heldBytes, this.#measuredBytes);
  }

  /** Somebody reads or writes it. */
  get leased(): boolean {
    return this.#leases.reasons().length > 0;
  }

  /** Its file grows, or may. */
  get working(): boolean {
    return this.#reserved || this.#writers.size > 0 || this.#completion.underWay;
  }

  measured(takenBytes: number): void {
    this.#measuredBytes = takenBytes;
    this.#count();
  }

  get accessedAtMs(): number {
    return this.#accessedAtMs;
  }

  get finishedAtMs(): number | undefined {
    return this.#completion.finishedAtMs;
  }

  get bytesFrom(): Readonly<Record<TrafficType, number>> {
    return this.#table.bytesFrom();
  }

  get uploadedBytes(): number {
    return this.#uploadedBytes;
  }

  get pinnedUntilMs(): number | undefined {
    const until = this.#pinnedUntilMs;
    return until !== undefined && until > this.wallMs() ? until : undefined;
  }

  get failures(): number {
    return this.#failures;
  }

  get lastFailure(): Error | undefined {
    return this.#lastFailure;
  }

  has(index: number): boolean {
    return this.#table.held.has(index);
  }

  piece(index: number): PieceInfo | undefined {
    return this.#table.info(index);
  }

  // Who uses it

  /** Counts as a use, which is recorded with the next commit. */
  touch(): void {
    this.#accessedAtMs = this.wallMs();
    this.#changes.touched();
  }

  lease(reason: InUseReason): Disposable {
    this.#mustExist();
    this.touch();
    const open = this.#file.hold();
    return this.#leases.add(reason, () => {
      open[Symbol.dispose]();
      this.touch(); // a long use was a use until its end
      if (reason === "download") this.unreserveIfUnused();
      this.#services.onReleased();
    });
  }

  get inUse(): readonly InUseReason[] {
    const reasons = this.#leases.reasons();
    if (this.working && !reasons.includes("download")) reasons.push("download");
    if (this.pinnedUntilMs !== undefined && !reasons.includes("pin")) reasons.push("pin");
    const file = this.#statFile();
    if (file !== undefined && file.nlink > 1n) reasons.push("hard-link");
    for (const { reason } of this.#usesOf(file)) if (!reasons.includes(reason)) reasons.push(reason);
    return reasons;
  }

  /** Which containers and mounts are among those. */
  get usedBy(): readonly string[] {
    return [...new Set(this.#usesOf(this.#statFile()).map(({ by }) => by))];
  }

  #statFile(): BigIntStats | undefined {
    return statSync(this.path, { throwIfNoEntry: false, bigint: true });
  }

  #usesOf(file: BigIntStats | undefined): readonly Use[] {
    return this.#services.outside.of(this.#meta, file && fileIdOf(file));
  }

  /** Undefined: not any more. Throws `disk.full`, `disk.io`; it is as before then. */
  async pin(untilMs: number | undefined): Promise<void> {
    this.#mustExist();
    const before = this.#pinnedUntilMs;
    this.#pinnedUntilMs = untilMs;
    this.#changes.row();
    try {
      await this.#services.commits.durable();
    } catch (error) {
      this.#pinnedUntilMs = before;
      throw error;
    }
  }

  addUploadedBytes(bytes: number): void {
    this.#uploadedBytes += bytes;
    this.#changes.touched();
  }

  reserve(): void {
    this.#reserved = !this.verified;
    this.#count();
  }

  unreserve(): void {
    this.unreserveQuietly();
    this.#services.onReleased();
  }

  /** Space is set aside for those who download it. */
  unreserveIfUnused(): void {
    if (this.#leases.count("download") === 0) this.unreserve();
  }

  /** There was no space to set aside, so none is free now that was not before. */
  unreserveQuietly(): void {
    this.#reserved = false;
    this.#count();
  }

  /** It is one of the store's tasks from now on, until it is removed. */
  list(): void {
    this.#listed = true;
    this.#count();
  }

  /** Takes a digest that was not known, or another one, for unfinished content. */
  expectDigest(digest: string): void {
    this.#meta = { ...this.#meta, digest };
    this.#changes.row();
    this.#completion.restart();
  }

  // Writing

  writePiece(options: WriterOptions): PieceWriter {
    this.#mustBePiece(options.index);
    const range = pieceRangeOf(this.#meta, options.index);
    if (this.isUnverified(options.index)) this.reject(options.index); // its bytes are about to be overwritten
    let group = this.#writers.get(options.index);
    if (group === undefined) {
      const made = new PieceWriters({ task: this, range, onIdle: () => this.#writersGone(options.index, made) });
      this.#writers.set(options.index, (group = made));
    }
    return group.add(options);
  }

  async writeAt(bytes: Uint8Array, positionBytes: number): Promise<void> {
    this.#mustExist(); // its path may be another one's by now
    await this.#file.write(bytes, positionBytes);
  }

  writeNow(bytes: Uint8Array, positionBytes: number): boolean {
    this.#mustExist(); // as above
    return this.#file.writeNow(bytes, positionBytes);
  }

  spoolPath(): string {
    return this.#services.spoolPath();
  }

  wallMs(): number {
    return this.#services.clock.wallMs();
  }

  stored(index: number, facts: PieceFacts): void {
    const { newParent } = this.#table.add(index, facts);
    this.#changes.piece(index, newParent);
    this.#services.metrics.stored.inc({ traffic: facts.traffic }, pieceRangeOf(this.#meta, index).length);
    this.#pieceHeld(index);
  }

  duplicated(): void {
    this.#services.metrics.duplicates.inc();
  }

  mismatched(): void {
    this.#services.metrics.mismatches.inc({ what: "piece" });
  }

  // Reading

  async read(options: { readonly offsetBytes: number; readonly into: Uint8Array }): Promise<number> {
    this.#mustExist();
    const { offsetBytes, into } = options;
    const { contentLength, pieceLength } = this.#meta;
    const lengthBytes = Math.max(0, Math.min(into.length, contentLength - offsetBytes));
    for (let index = Math.floor(offsetBytes / pieceLength); index * pieceLength < offsetBytes + lengthBytes; index++) {
      if (!this.has(index)) throw new AnaxError("piece.not-found", { taskId: this.id, index });
    }
    if (lengthBytes > 0) await this.readAt(into.subarray(0, lengthBytes), offsetBytes);
    return lengthBytes;
  }

  async readAt(into: Uint8Array, positionBytes: number): Promise<void> {
    this.#mustExist();
    const count = await this.#file.read(into, positionBytes);
    if (count < into.length) throw new AnaxError("disk.corrupt", { path: this.path, reason: "the file is shorter than the content" });
  }

  linkTo(path: string): Promise<boolean> {
    this.#mustExist();
    return this.#file.linkTo(path);
  }

  async *stream(range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { contentLength, digest } = this.#meta;
    const inside = range.start >= 0 && range.length >= 0 && range.start + range.length <= contentLength;
    if (!inside) throw new AnaxError("task.range-unsatisfiable", { start: range.start, length: range.length, contentLength });
    using _ = this.lease("proxy-read");
    if (range.length > 0) yield* streamOf(this, range, { buffers: this.#services.buffers, signal });
    else if (digest !== undefined && !this.verified) await this.wait("verified", signal);
  }

  async waitForPiece(index: number, signal: AbortSignal): Promise<void> {
    this.#mustBePiece(index);
    if (!this.has(index)) await this.wait(index, signal);
  }

  async waitUntilVerified(signal: AbortSignal): Promise<void> {
    this.#mustExist();
    if (!this.verified) await this.wait("verified", signal);
  }

  async wait(key: number | "verified", signal: AbortSignal): Promise<void> {
    this.#mustExist();
    const waiting = this.#waiters.wait(key, signal);
    if (typeof key === "number") this.#services.onWanted(this, key);
    if (typeof key === "number" && this.isUnverified(key)) {
      this.#wanted.add(key);
      this.#services.inBackground(this.verify());
    }
    await waiting;
  }

  // Verification of what a restart left

  isUnverified(index: number): boolean {
    return !this.#removed && this.#table.isRecorded(index) && !this.has(index);
  }

  /** Decides about every piece kept from before a restart; joins a verification under way. */
  verify(): Promise<void> {
    if (!this.#unverifiedLeft || this.#removed) return Promise.resolve();
    this.#verifying ??= this.#verify().finally(() => (this.#verifying = undefined));
    return this.#verifying;
  }

  async check(index: number): Promise<boolean> {
    const expected = this.#table.crc32Of(index);
    const read = (into: Uint8Array, at: number): Promise<number> => this.#file.read(into, at);
    try {
      return (await crc32OfRange(read, pieceRangeOf(this.#meta, index), this.#services.buffers)) === expected;
    } catch (error) {
      // A bad sector costs its piece, not the task.
      this.#services.log.warn("piece.unreadable", { taskId: this.id, index, reason: errorOf(error).message });
      return false;
    }
  }

  accept(index: number): void {
    this.#table.hold(index);
    this.#pieceHeld(index);
  }

  reject(index: number): void {
    this.#table.drop(index);
    this.#count();
    this.#changes.dropped(index);
  }

  async quarantinePiece(index: number): Promise<"intact" | "dropped"> {
    this.#mustBePiece(index);
    if (!this.has(index)) return "dropped";
    using _ = this.lease("pin");
    if (await this.check(index)) return "intact";
    this.#services.log.warn("piece.damaged", { taskId: this.id, index, path: this.path });
    this.#services.metrics.mismatches.inc({ what: "disk" });
    // What shares the inode belongs to a user: the repair goes into a file of our own.
    const shared = this.inUse.some((reason) => reason === "hard-link" || reason === "mount");
    if (shared) await this.dropAll();
    else await this.#dropPiece(index);
    return "dropped";
  }

  // The end

  async finish(signal: AbortSignal): Promise<void> {
    const failuresBefore = this.#failures;
    for (let from = 0; !this.finished.full;) {
      if (this.#failures > failuresBefore) throw this.#lastFailure!; // set with the count
      const missing = this.finished.firstMissing(from);
      if (missing !== undefined) await this.waitForPiece(missing, signal);
      from = missing ?? 0; // from the start again when an earlier one was dropped
    }
    this.#mustExist();
    await withSignal(this.#completion.run(), signal);
  }

  fail(error: Error): void {
    this.#failures++;
    this.#lastFailure = error;
    this.unreserve();
    this.#waiters.rejectAll(error);
  }

  onVerified(): void {
    this.unreserve();
    this.#waiters.resolve("verified");
  }

  /** Into a fresh file, so that neither the old bytes nor a write still under way can show up in what comes next. */
  async dropAll(): Promise<void> {
    await this.#file.create(this.#meta.contentLength);
    for (const group of this.#writers.values()) group.dropAll();
    this.#writers.clear();
    const held = this.#indices().filter((index) => this.has(index));
    this.#table.dropAll();
    this.#measuredBytes = 0;
    this.#count();
    this.#changes.everything();
    this.#completion.undo();
    for (const index of held) this.#services.onDropped(this, index);
  }

  async digestOf(algorithm: Digest["algorithm"], signal: AbortSignal): Promise<string> {
    this.#mustExist();
    const missing = this.finished.firstMissing();
    if (missing !== undefined) throw new AnaxError("piece.not-found", { taskId: this.id, index: missing });
    using _ = this.lease("export");
    const following = this.#services.digests.follow(this.path, algorithm);
    const result = following.result(this.#meta.contentLength);
    try {
      return await withSignal(result, signal);
    } finally {
      following.stop();
    }
  }

  /** Ends every use of the task; its file may be unlinked then. The caller has checked that it is not in use. */
  markRemoved(): void {
    this.#removed = true;
    this.unreserve();
    this.#completion.stop();
    this.#waiters.rejectAll(new AnaxError("task.not-found", { taskId: this.id }));
    this.#changes.deleted();
    this.#file.close();
  }

  /** The store closes: nothing changes any more. */
  shutDown(): void {
    this.#completion.stop();
    this.fail(new AnaxError("download.cancelled", { reason: "the piece store is closing" }));
    this.#file.close();
  }

  // Records

  /** Makes the content file of a new task. Throws `disk.full`, `disk.io`. */
  createFile(): Promise<void> {
    return this.#file.create(this.#meta.contentLength);
  }

  /** Makes the file with all of its content. */
  fill(content: Uint8Array): Promise<void> {
    return this.#file.fill(content);
  }

  /** All pieces are in the file, as the source gave them. */
  holdAll(content: Uint8Array): void {
    this.#changes.row();
    for (const index of this.#indices()) {
      const { start, length } = pieceRangeOf(this.#meta, index);
      const sum = crc32(content.subarray(start, start + length));
      this.stored(index, { crc32: sum, traffic: "back-to-source", parentId: "", createdAtMs: this.wallMs() });
    }
  }

  /** Everything of a new task is to be recorded. */
  markNew(): void {
    this.#changes.row();
  }

  /** Everything of a complete, verified file that was taken over is recorded and on the disk when this resolves. */
  async markAdopted(): Promise<void> {
    this.#changes.everything();
    await this.#completion.adopt();
  }

  /** Lets the next commit record the last use, if that is not recorded yet. */
  flushTouched(): void {
    this.#changes.flushTouched();
  }

  #row(): TaskRow {
    return {
      id: this.id,
      contentLength: this.#meta.contentLength,
      pieceLength: this.#meta.pieceLength,
      meta: encodeMeta(this.#meta),
      parents: encodeParents(this.#table.parents),
      createdAtMs: this.createdAtMs,
      accessedAtMs: this.#accessedAtMs,
      finishedAtMs: this.#completion.syncedAtMs ?? null,
      uploadedBytes: this.#uploadedBytes,
      pinnedUntilMs: this.#pinnedUntilMs ?? null,
    };
  }

  #count(): void {
    const now = this.#listed && !this.#removed ? { heldBytes: this.takenBytes, reservedBytes: this.reservedBytes } : NO_BYTES;
    this.#services.sums.replace(this.#counted, now);
    this.#counted = now;
  }

  #pieceHeld(index: number): void {
    this.#count();
    this.#completion.advance();
    this.#waiters.resolve(index);
    this.#services.onPiece(this, index);
  }

  async #verify(): Promise<void> {
    await verifyRecorded(this, this.#wanted, this.#services.closing);
    this.#unverifiedLeft = false;
    this.#wanted.clear();
  }

  async #dropPiece(index: number): Promise<void> {
    await this.#file.unseal();
    this.#table.drop(index);
    this.#count();
    this.#changes.dropped(index);
    this.#completion.undo();
    this.#services.onDropped(this, index);
  }

  #writersGone(index: number, group: PieceWriters): void {
    if (this.#writers.get(index) === group) this.#writers.delete(index);
  }

  #indices(): number[] {
    return Array.from({ length: this.pieceCount }, (_, index) => index);
  }

  /** An index may come from a stranger: a wrong one is no bug of ours. */
  #mustBePiece(index: number): void {
    this.#mustExist();
    if (!(Number.isInteger(index) && index >= 0 && index < this.pieceCount))
      throw new AnaxError("piece.not-found", { taskId: this.id, index });
  }

  #mustExist(): void {
    if (this.#removed) throw new AnaxError("task.not-found", { taskId: this.id });
  }
}
