import type { SQLInputValue } from "node:sqlite";
import { failureOf } from "../sqlite/failure.ts";
import { openDatabase } from "../sqlite/schema.ts";
import { bytesOf, COUNTERS, FENCE, json, numberOf, QUOTAS, SESSIONS } from "./keys.ts";
import type { RecordStore } from "./record-store.ts";
import type { BlobRecord, QuotaRecord } from "./record-tables.ts";
import { unknownVolume, type CountersRecord, type FenceRecord } from "./record-turn.ts";

/** Rows of one transaction. */
const BATCH = 10_000;

/** The same volume as SQLite keeps it, as of one moment, in a new file: for what looks at everything at once. Locks, sessions and the changelog stay where they are. Throws `volume.unreachable`, also where the engine knows no such volume. */
export async function exportToSqlite(store: RecordStore, path: string): Promise<void> {
  const database = openDatabase(path);
  const statements = new Map<string, (values: readonly SQLInputValue[]) => void>();
  const insert = (table: string, ...values: SQLInputValue[]): void => {
    let into = statements.get(table);
    if (into === undefined) {
      const statement = database.prepare(`INSERT INTO ${table} VALUES (${values.map(() => "?").join(", ")})`);
      statements.set(table, (into = (row) => void statement.run(...row)));
    }
    into(values);
  };
  let fence: FenceRecord | undefined;
  let counters: CountersRecord = [0, 0, 0, 0];
  const counted = { quotas: 0, sessions: 0 };
  try {
    database.exec("PRAGMA synchronous = OFF; BEGIN");
    let rows = 0;
    for await (const [group, key, value] of store.scan()) {
      if (group.startsWith("i")) inodeRow(numberOf(group.slice(1)), key, value);
      else if (group.startsWith("b")) insert("blob", numberOf(group.slice(1)), ...(json(value) as BlobRecord));
      else if (group === FENCE && key === "f") fence = json(value) as FenceRecord;
      else if (group === COUNTERS) counters = json(value) as CountersRecord;
      else if (group === QUOTAS) {
        insert("quota", numberOf(key), ...(json(value) as QuotaRecord));
        counted.quotas++;
      } else if (group === SESSIONS && key !== "next") counted.sessions++;
      if (++rows % BATCH === 0) database.exec("COMMIT; BEGIN");
    }
    if (fence === undefined) throw unknownVolume(store.address);
    const { uuid, state, epoch, readOnly, capacityBytes, inodesMax, trashMs } = fence;
    const [usedBytes, usedInodes, nextId] = counters;
    const limits = [readOnly ? 1 : 0, capacityBytes, inodesMax, usedBytes, usedInodes, nextId, counted.quotas, counted.sessions, trashMs];
    insert("volume", 1, uuid, state, epoch, ...limits);
    database.exec("COMMIT");
  } catch (error) {
    throw failureOf(error, path);
  } finally {
    database.close();
  }

  function inodeRow(ino: number, key: string, value: string): void {
    const rest = key.slice(1);
    switch (key[0] ?? "") {
      case "n":
        return insert("node", ino, ...(json(value) as number[]));
      case "e":
        return insert("edge", ino, rest, ...(json(value) as number[]));
      case "t":
        return insert("symlink", ino, value);
      case "d":
        return insert("inline_data", ino, bytesOf(value));
      case "a":
        return insert("xattr", ino, rest, bytesOf(value));
      case "x":
        return insert("extent", ino, numberOf(rest), ...(json(value) as number[]).slice(0, 3));
      case "o":
        return insert("open_unlinked", ino, Number(rest));
      case "T":
        return insert("trash", ino, ...(json(value) as [number, string, number]));
      default: // the order of a directory, what is locked: SQLite knows it otherwise, or does not have to
    }
  }
}
