import { DatabaseSync, type StatementSync } from "node:sqlite";
import { AnaxError } from "../../base/errors.ts";

/** Newer files are refused, older ones are brought up to this step by step. */
export const SCHEMA_VERSION = 2;
/** "ANXP": tells the file from a stranger's. */
const APPLICATION_ID = 0x41_4e_58_50;

export interface TaskRow {
  readonly id: string;
  readonly contentLength: number;
  readonly pieceLength: number;
  /** JSON, see docs/formats/piece-store.md. */
  readonly meta: string;
  readonly parents: string;
  readonly createdAtMs: number;
  readonly accessedAtMs: number;
  readonly finishedAtMs: number | null;
  readonly uploadedBytes: number;
  readonly pinnedUntilMs: number | null;
}

export interface SegmentRow {
  readonly id: string;
  readonly segment: number;
  readonly records: Uint8Array;
}

export type Operation =
  | { readonly kind: "delete"; readonly id: string }
  | { readonly kind: "task"; readonly row: TaskRow }
  | { readonly kind: "touch"; readonly id: string; readonly accessedAtMs: number; readonly uploadedBytes: number }
  | { readonly kind: "segment"; readonly row: SegmentRow };

/** What makes each version of the one before; the first makes it of nothing. */
const STEPS: readonly string[] = [
  `CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    content_length INTEGER NOT NULL,
    piece_length INTEGER NOT NULL,
    meta TEXT NOT NULL,
    parents TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    accessed_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER,
    uploaded_bytes INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE segments (
    id TEXT NOT NULL,
    segment INTEGER NOT NULL,
    records BLOB NOT NULL,
    PRIMARY KEY (id, segment)
  ) STRICT;`,
  "ALTER TABLE tasks ADD COLUMN pinned_until_ms INTEGER",
];

/** The records of a store; synchronous, so it lives in a worker thread. */
export class PieceDatabase {
  readonly #database: DatabaseSync;
  readonly #statements: ReturnType<typeof prepare>;
  #durable = false;

  private constructor(database: DatabaseSync) {
    this.#database = database;
    this.#statements = prepare(database);
  }

  /** Throws `disk.newer-format`, or SQLite's own error. */
  static open(path: string): PieceDatabase {
    const database = new DatabaseSync(path, { timeout: 1000 });
    try {
      // NORMAL: a commit costs no disk flush, and after a power loss the last ones may be missing but nothing is torn.
      database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF");
      migrate(database, path);
      return new PieceDatabase(database);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  tasks(): TaskRow[] {
    return this.#statements.listTasks.all() as unknown as TaskRow[]; // the columns are STRICT and named in the statement
  }

  segments(): SegmentRow[] {
    return this.#statements.listSegments.all() as unknown as SegmentRow[]; // as above
  }

  /** One transaction; with `durable` it is on the disk when this returns. */
  commit(operations: readonly Operation[], durable: boolean): void {
    if (durable !== this.#durable) this.#database.exec(`PRAGMA synchronous = ${durable ? "FULL" : "NORMAL"}`);
    this.#durable = durable;
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      for (const operation of operations) this.#apply(operation);
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  close(): void {
    this.#database.close();
  }

  #apply(operation: Operation): void {
    const run = this.#statements;
    switch (operation.kind) {
      case "delete":
        run.deleteTask.run(operation.id);
        run.deleteSegments.run(operation.id);
        return;
      case "task": {
        const row = operation.row;
        const times = [row.createdAtMs, row.accessedAtMs, row.finishedAtMs] as const;
        run.putTask.run(row.id, row.contentLength, row.pieceLength, row.meta, row.parents, ...times, row.uploadedBytes, row.pinnedUntilMs);
        return;
      }
      case "touch":
        run.touch.run(operation.accessedAtMs, operation.uploadedBytes, operation.id);
        return;
      case "segment":
        run.putSegment.run(operation.row.id, operation.row.segment, operation.row.records);
    }
  }
}

function migrate(database: DatabaseSync, path: string): void {
  const version = numberOf(database, "PRAGMA user_version");
  if (version > SCHEMA_VERSION) throw new AnaxError("disk.newer-format", { path, version, supported: SCHEMA_VERSION });
  if (version === SCHEMA_VERSION) return;
  const steps = STEPS.slice(version).join("; ");
  database.exec(`BEGIN IMMEDIATE; ${steps}; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`);
}

function numberOf(database: DatabaseSync, pragma: string): number {
  const [value] = Object.values(database.prepare(pragma).get() ?? {});
  return Number(value);
}

function prepare(database: DatabaseSync) {
  const statement = (sql: string): StatementSync => database.prepare(sql);
  return {
    listTasks:
      statement(`SELECT id, content_length AS contentLength, piece_length AS pieceLength, meta, parents, created_at_ms AS createdAtMs,
      accessed_at_ms AS accessedAtMs, finished_at_ms AS finishedAtMs, uploaded_bytes AS uploadedBytes,
      pinned_until_ms AS pinnedUntilMs FROM tasks`),
    listSegments: statement("SELECT id, segment, records FROM segments"),
    putTask: statement("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    touch: statement("UPDATE tasks SET accessed_at_ms = ?, uploaded_bytes = ? WHERE id = ?"),
    putSegment: statement("INSERT OR REPLACE INTO segments VALUES (?, ?, ?)"),
    deleteTask: statement("DELETE FROM tasks WHERE id = ?"),
    deleteSegments: statement("DELETE FROM segments WHERE id = ?"),
  };
}
