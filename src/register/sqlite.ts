import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Clock } from "../base/clock.ts";
import { AnaxError } from "../base/errors.ts";
import { NotSent, Refused, type Engine } from "./engine.ts";
import { NO_CELL, type Cell, type Change, type SetOutcome } from "./register.ts";

/** SQLite's primary result codes. */
const BUSY = 5;
/** Nothing can have changed: no permission, read-only, full, cannot open, not a database. */
const REFUSALS: readonly number[] = [3, 8, 13, 14, 26];
const BUSY_RETRY_MS = 5;
const OPEN_BUSY_MS = 2000;

/** A file that several processes of one machine share. Throws `register.unreachable` when it cannot be opened, or is no register. */
export function openSqlite(path: string, clock: Clock): Engine {
  const { database, readOne, insert, update } = opened(path);
  const read = (name: string): Cell => {
    const row = readOne.get(name);
    return row === undefined ? NO_CELL : { version: Number(row["version"]), value: String(row["value"]) };
  };
  const compareAndSet = (name: string, { expected, value }: Change): SetOutcome => {
    const { changes } = expected === 0 ? insert.run(name, value) : update.run(value, name, expected);
    return Number(changes) === 1 ? { kind: "set", version: expected + 1 } : { kind: "conflict", current: read(name) };
  };
  /** Another process writes: SQLite's own waiting would hold this whole thread. */
  const whenFree = async <T>(work: () => T, signal: AbortSignal): Promise<T> => {
    for (;;) {
      try {
        return work();
      } catch (error) {
        const code = (error as { errcode?: unknown }).errcode;
        if (typeof code !== "number") throw new NotSent((error as Error).message, { cause: error }); // it is closed
        if (REFUSALS.includes(code & 0xff)) throw new Refused((error as Error).message, { cause: error });
        if ((code & 0xff) !== BUSY) throw error;
        await clock.sleep(BUSY_RETRY_MS, signal).catch((cause: unknown) => {
          throw new NotSent("another process keeps the file locked", { cause });
        });
      }
    }
  };
  return {
    address: path,
    read: (name, signal) => whenFree(() => read(name), signal),
    compareAndSet: (name, change, signal) => whenFree(() => compareAndSet(name, change), signal),
    async [Symbol.asyncDispose]() {
      if (database.isOpen) database.close();
    },
  };
}

interface Opened {
  readonly database: DatabaseSync;
  readonly readOne: StatementSync;
  readonly insert: StatementSync;
  readonly update: StatementSync;
}

function opened(path: string): Opened {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: OPEN_BUSY_MS });
    database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      CREATE TABLE IF NOT EXISTS cells (name TEXT PRIMARY KEY, version INTEGER NOT NULL, value TEXT NOT NULL) STRICT;
    `);
    const statements = {
      readOne: database.prepare("SELECT version, value FROM cells WHERE name = ?"),
      insert: database.prepare("INSERT INTO cells (name, version, value) VALUES (?, 1, ?) ON CONFLICT DO NOTHING"),
      update: database.prepare("UPDATE cells SET version = version + 1, value = ? WHERE name = ? AND version = ?"),
    };
    database.exec("PRAGMA busy_timeout = 0");
    return { database, ...statements };
  } catch (cause) {
    database?.close();
    throw new AnaxError("register.unreachable", { address: path, reason: (cause as Error).message }, { cause });
  }
}
