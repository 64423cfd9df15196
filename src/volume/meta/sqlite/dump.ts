import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite";
import { AnaxError } from "../../../base/errors.ts";
import { failureOf } from "./failure.ts";
import { openDatabase } from "./schema.ts";
import { inTransaction } from "./transaction.ts";

/** What makes up a volume's metadata, whichever client it has: tables with their columns, in order. Names are those of docs/formats/volume-dump.md. */
export const DUMPED = {
  volume: ["uuid", "read_only", "capacity_bytes", "inodes_max", "used_bytes", "used_inodes", "next_id", "quotas"],
  node: [
    "ino",
    "mode",
    "uid",
    "gid",
    "rdev",
    "nlink",
    "size",
    "allocated",
    "atime",
    "atime_ns",
    "mtime",
    "mtime_ns",
    "ctime",
    "ctime_ns",
    "parent",
  ],
  edge: ["parent", "name", "ino", "type", "cookie"],
  symlink: ["ino", "target"],
  inline_data: ["ino", "data"],
  blob: ["id", "sha256", "bytes", "refs"],
  extent: ["ino", "position", "length", "blob", "blob_offset"],
  xattr: ["ino", "name", "value"],
  quota: ["ino", "bytes_max", "inodes_max", "used_bytes", "used_inodes"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type DumpedTable = keyof typeof DUMPED;
export type DumpedRow = readonly SQLOutputValue[];

/** Columns that every row of a table has the same of, once it is loaded. */
const FIXED: Partial<Record<DumpedTable, Readonly<Record<string, SQLInputValue>>>> = {
  volume: { one: 1, state: "active", epoch: 1, sessions: 0 },
  blob: { state: 1, session: 0, since_ms: 0 },
};

/** Ids of what was made after the dump are not given again. */
const ID_GAP = 2 ** 40;

/** All rows, of a copy that nobody writes to. */
export function* dumpedRows(path: string): Iterable<readonly [DumpedTable, DumpedRow]> {
  const database = openDatabase(path);
  try {
    for (const [table, columns] of Object.entries(DUMPED) as [DumpedTable, readonly string[]][])
      for (const row of database.prepare(`SELECT ${columns.join(", ")} FROM ${table}`).iterate())
        yield [table, columns.map((column) => row[column]!)]; // all of them were asked for
  } finally {
    database.close();
  }
}

/** Fills new metadata, all or nothing. Rows that do not fit throw `disk.corrupt`. */
export async function loadRows(path: string, rows: AsyncIterable<readonly [DumpedTable, DumpedRow]>): Promise<void> {
  const database = openDatabase(path);
  try {
    database.exec("PRAGMA synchronous = FULL; BEGIN IMMEDIATE");
    const inserts = new Map<DumpedTable, (row: DumpedRow) => void>();
    for await (const [table, row] of rows) {
      let insert = inserts.get(table);
      if (insert === undefined) inserts.set(table, (insert = inserterOf(database, table)));
      insert(row);
    }
    database.exec("COMMIT");
    inTransaction(database, path, () => database.prepare("UPDATE volume SET next_id = next_id + ?").run(ID_GAP));
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch (error) {
    throw failureOf(error, path);
  } finally {
    database.close();
  }
}

function inserterOf(database: DatabaseSync, table: DumpedTable): (row: DumpedRow) => void {
  const columns: readonly string[] = DUMPED[table];
  const fixed = FIXED[table] ?? {};
  const names = [...columns, ...Object.keys(fixed)];
  const statement = database.prepare(`INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`);
  return (row) => {
    try {
      statement.run(...row, ...Object.values(fixed));
    } catch (error) {
      throw new AnaxError(
        "disk.corrupt",
        { table, reason: error instanceof Error ? error.message : "a row does not fit" },
        { cause: error },
      );
    }
  };
}
