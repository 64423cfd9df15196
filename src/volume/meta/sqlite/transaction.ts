import type { DatabaseSync } from "node:sqlite";
import { beginImmediate } from "./begin.ts";
import { failureOf } from "./failure.ts";

/** Runs `work` in one transaction, all or nothing; durable when it returns. Blocks up to `waitMs` for other writers. Throws AnaxErrors. */
export function inTransaction<T>(database: DatabaseSync, path: string, work: () => T, waitMs?: number): T {
  try {
    beginImmediate(database.prepare("BEGIN IMMEDIATE"), waitMs);
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw failureOf(error, path);
  }
}
