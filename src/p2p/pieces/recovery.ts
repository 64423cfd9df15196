import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { contentPathOf, layoutOf, takenBytesOf, type StoreLayout } from "./layout.ts";
import { PieceDatabase, type SegmentRow, type TaskRow } from "./database.ts";

/** SQLite's result codes for a file that is damaged, or no database at all. */
const DAMAGED: ReadonlySet<unknown> = new Set([11, 26]);

export interface RecoveredTask {
  readonly row: TaskRow;
  readonly segments: readonly SegmentRow[];
  /** What its file takes on the disk. */
  readonly takenBytes: number;
}

/** A line for the log of the thread that owns the store. */
export interface Notice {
  readonly level: "error" | "warn" | "info";
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Recovery {
  readonly database: PieceDatabase;
  readonly tasks: readonly RecoveredTask[];
  readonly notices: readonly Notice[];
}

/**
 * Opens what a store left behind and makes records and files agree: what only one side knows is deleted. Runs in the database
 * thread, where blocking calls disturb nobody. Throws `disk.newer-format`, or system and SQLite errors.
 */
export function recoverStore(dir: string): Recovery {
  const layout = layoutOf(dir);
  const notices: Notice[] = [];
  mkdirSync(layout.tasks, { recursive: true });
  rmSync(layout.spool, { recursive: true, force: true });
  mkdirSync(layout.spool, { recursive: true });
  const database = openOrReplace(layout, notices);
  try {
    const tasks = agreeing(layout, database, notices);
    removeOrphans(layout, new Set(tasks.map((task) => task.row.id)), notices);
    return { database, tasks, notices };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A damaged database costs the cache, which can be fetched again; it must not cost an operator's night. */
function openOrReplace(layout: StoreLayout, notices: Notice[]): PieceDatabase {
  try {
    return PieceDatabase.open(layout.database);
  } catch (error) {
    if (!DAMAGED.has((error as { errcode?: unknown }).errcode)) throw error;
    notices.push({ level: "error", event: "store.database-damaged", fields: { path: layout.database, reason: String(error) } });
    for (const suffix of ["", "-wal", "-shm"]) rmSync(layout.database + suffix, { force: true });
    return PieceDatabase.open(layout.database);
  }
}

/** The tasks whose content file is there with the length that was recorded; the records of others are deleted. */
function agreeing(layout: StoreLayout, database: PieceDatabase, notices: Notice[]): RecoveredTask[] {
  const segments = Map.groupBy(database.segments(), (segment) => segment.id);
  const tasks: RecoveredTask[] = [];
  const lost: string[] = [];
  for (const row of database.tasks()) {
    const found = statSync(contentPathOf(layout, row.id), { throwIfNoEntry: false });
    if (found?.size === row.contentLength) {
      tasks.push({ row, segments: segments.get(row.id) ?? [], takenBytes: takenBytesOf(found) });
      continue;
    }
    lost.push(row.id);
    const fields = { taskId: row.id, expectedBytes: row.contentLength, foundBytes: found?.size };
    notices.push({ level: "warn", event: "store.task-lost", fields });
  }
  if (lost.length > 0)
    database.commit(
      lost.map((id) => ({ kind: "delete", id })),
      false,
    );
  return tasks;
}

function removeOrphans(layout: StoreLayout, known: ReadonlySet<string>, notices: Notice[]): void {
  let count = 0;
  for (const group of readdirSync(layout.tasks)) {
    for (const name of readdirSync(join(layout.tasks, group))) {
      if (known.has(name)) continue;
      rmSync(join(layout.tasks, group, name), { recursive: true, force: true });
      count++;
    }
  }
  if (count > 0) notices.push({ level: "info", event: "store.orphans-removed", fields: { count } });
}
