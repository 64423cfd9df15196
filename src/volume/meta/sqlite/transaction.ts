import type { DatabaseSync } from "node:sqlite";
import { beginImmediate } from "./begin.ts";
import { failureOf } from "./failure.ts";

/** Runs `work` in one transaction, all or nothing; durable when it returns. Throws AnaxErrors. */
export function inTransaction<T>(database: DatabaseSync, path: string, work: () => T): T {
  try {
    beginImmediate(database.prepare("BEGIN IMMEDIATE"));
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw failureOf(error, path);
  }
}
