import { AnaxError, errorOf } from "../../base/errors.ts";
import type { TaskId } from "../model/ids.ts";
import { formatDigest, type Bitmap } from "../model/piece.ts";
import type { TaskMeta } from "../model/types.ts";
import { ContentDigest } from "./content-digest.ts";
import type { ContentFile } from "./content-file.ts";
import type { TaskChanges } from "./task-changes.ts";
import type { TaskServices } from "./task-services.ts";

/** What the completion needs of its task. */
export interface CompletableTask {
  readonly id: TaskId;
  readonly meta: TaskMeta;
  readonly removed: boolean;
  readonly held: Bitmap;
  /** The digest agrees, or there is none to agree. */
  onVerified(): void;
  /** Forgets all pieces; the content is not what it should be. */
  dropAll(): Promise<void>;
  fail(error: Error): void;
}

interface Parts {
  readonly file: ContentFile;
  readonly changes: TaskChanges;
  readonly services: TaskServices;
}

/** The way of a task from its last piece to finished: digest, flush, record; and back again when a piece turns out to be damaged. */
export class TaskCompletion {
  readonly #task: CompletableTask;
  readonly #parts: Parts;
  readonly #digest: ContentDigest;
  #finishedAtMs: number | undefined;
  /** The disk has confirmed the content, and the database says so or is about to. */
  #synced: boolean;
  #running: Promise<void> | undefined;
  #syncing: Promise<void> | undefined;

  constructor(task: CompletableTask, parts: Parts, finishedAtMs: number | undefined) {
    this.#task = task;
    this.#parts = parts;
    this.#digest = new ContentDigest(parts.file.path, parts.services.digests);
    this.#finishedAtMs = finishedAtMs;
    this.#synced = finishedAtMs !== undefined;
  }

  /** Set: the content is complete and verified. */
  get finishedAtMs(): number | undefined {
    return this.#finishedAtMs;
  }

  /** What the database may say: no earlier than the disk has everything. */
  get syncedAtMs(): number | undefined {
    return this.#synced ? this.#finishedAtMs : undefined;
  }

  get underWay(): boolean {
    return this.#running !== undefined;
  }

  /** Another piece is held. */
  advance(): void {
    if (this.#finishedAtMs === undefined) this.#digest.advance(this.#task.meta, this.#task.held);
  }

  /** The digest to agree with is another one now. */
  restart(): void {
    this.#digest.restart();
    this.advance();
  }

  /** All pieces are held: verifies and records that. Joins what is under way. Throws `task.digest-mismatch`, `disk.full`, `disk.io`. */
  run(): Promise<void> {
    if (this.#running !== undefined) return this.#running;
    this.#running = this.#run().finally(() => (this.#running = undefined));
    this.#parts.services.inBackground(this.#running.catch(() => undefined)); // the store waits for it at its end; the callers report its failure
    return this.#running;
  }

  /** The content came complete and verified; it is on the disk and recorded when this resolves. */
  async adopt(): Promise<void> {
    this.#finishedAtMs = this.#parts.services.clock.wallMs();
    await this.#makeDurable();
  }

  /** A piece is missing again. */
  undo(): void {
    this.#finishedAtMs = undefined;
    this.#synced = false;
    this.#digest.restart();
    this.#parts.changes.row();
  }

  /** The task is removed, or the store closes. */
  stop(): void {
    this.#digest.restart();
  }

  async #run(): Promise<void> {
    const { file, services } = this.#parts;
    using _ = file.hold();
    if (this.#finishedAtMs === undefined) await this.#verify();
    if (this.#synced) return;
    this.#syncing ??= this.#makeDurable().finally(() => (this.#syncing = undefined));
    if (services.syncOnFinish) await this.#syncing;
    else services.inBackground(this.#unlessRemoved(this.#syncing));
  }

  async #verify(): Promise<void> {
    const { digest } = this.#task.meta;
    if (digest !== undefined) await this.#checkDigest(digest);
    this.#mustExist();
    this.#finishedAtMs = this.#parts.services.clock.wallMs();
    this.#task.onVerified();
  }

  async #checkDigest(expected: string): Promise<void> {
    const found = await this.#digest.check(expected, this.#task.meta.contentLength);
    if (found === undefined) return;
    this.#parts.services.metrics.mismatches.inc({ what: "content" });
    await this.#task.dropAll();
    const error = new AnaxError("task.digest-mismatch", { taskId: this.#task.id, expected, actual: formatDigest(found.actual) });
    this.#task.fail(error);
    throw error;
  }

  async #makeDurable(): Promise<void> {
    const { file, changes, services } = this.#parts;
    await this.#seal();
    this.#mustExist();
    if (this.#finishedAtMs === undefined) return file.unseal(); // a piece was found damaged meanwhile
    this.#synced = true;
    changes.row();
    try {
      await services.commits.durable();
    } catch (error) {
      this.#synced = false;
      throw error;
    }
  }

  async #seal(): Promise<void> {
    const { file } = this.#parts;
    try {
      await file.seal();
    } catch (error) {
      if (!file.lost || this.#task.removed) throw error;
      await this.#task.dropAll();
      this.#task.fail(errorOf(error));
      throw error;
    }
  }

  async #unlessRemoved(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (!this.#task.removed) throw error;
    }
  }

  #mustExist(): void {
    if (this.#task.removed) throw new AnaxError("task.not-found", { taskId: this.#task.id });
  }
}
