import type { CommitQueue, Recordable } from "./commit-queue.ts";
import type { Operation, TaskRow } from "./database.ts";
import { PieceTable } from "./piece-table.ts";

interface Recorded {
  readonly id: string;
  readonly table: PieceTable;
  /** What the database is to say of the task now. */
  row(): TaskRow;
}

/** Which of a task's records differ from the database. */
export class TaskChanges implements Recordable {
  readonly #task: Recorded;
  readonly #commits: CommitQueue;
  readonly #segments = new Set<number>();
  #row = false;
  #touched = false;
  /** Work that was under way may still end; nothing of it may come back into the database. */
  #deleted = false;

  constructor(task: Recorded, commits: CommitQueue) {
    this.#task = task;
    this.#commits = commits;
  }

  get id(): string {
    return this.#task.id;
  }

  /** The row differs. */
  row(): void {
    this.#row = true;
    this.#changed();
  }

  /** A piece was stored, by a source of which the row may not know yet. */
  piece(index: number, newParent: boolean): void {
    this.#row ||= newParent;
    this.#segments.add(PieceTable.segmentOf(index));
    this.#changed(1);
  }

  dropped(index: number): void {
    this.#segments.add(PieceTable.segmentOf(index));
    this.#changed();
  }

  everything(): void {
    for (let segment = 0; segment < this.#task.table.segmentCount; segment++) this.#segments.add(segment);
    this.row();
  }

  /** The task was used: worth a record, but no commit of its own. */
  touched(): void {
    this.#touched = true;
  }

  /** Lets the next commit record the last use, if that is not recorded yet. */
  flushTouched(): void {
    if (this.#touched) this.#changed();
  }

  /** The task is deleted, and with it what was to be recorded. */
  deleted(): void {
    this.#deleted = true;
    this.#commits.deleted(this);
  }

  takeChanges(): readonly Operation[] {
    const operations: Operation[] = [];
    const { id, table } = this.#task;
    const row = this.#task.row();
    if (this.#row) operations.push({ kind: "task", row });
    else if (this.#touched) operations.push({ kind: "touch", id, accessedAtMs: row.accessedAtMs, uploadedBytes: row.uploadedBytes });
    for (const segment of this.#segments) operations.push({ kind: "segment", row: { id, segment, records: table.segmentBytes(segment) } });
    this.#row = false;
    this.#touched = false;
    this.#segments.clear();
    return operations;
  }

  returnChanges(operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.kind === "segment") this.#segments.add(operation.row.segment);
      this.#row ||= operation.kind === "task";
      this.#touched ||= operation.kind === "touch";
    }
  }

  #changed(pieces = 0): void {
    if (!this.#deleted) this.#commits.changed(this, pieces);
  }
}
