import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import type { HeldLock } from "../lock-ranges.ts";
import type {
  InlineTable,
  KeptTable,
  LeaseTable,
  LockTable,
  QuotaRow,
  QuotaTable,
  TargetTable,
  TrashRow,
  TrashTable,
  XattrTable,
} from "../rules/tables.ts";

type Row = Readonly<Record<string, SQLOutputValue>>;

// Tables that are one statement for each of their methods. What a column has, its STRICT table says.

export function targetsOf(database: DatabaseSync): TargetTable {
  const add = database.prepare("INSERT INTO symlink (ino, target) VALUES (?, ?)");
  const get = database.prepare("SELECT target FROM symlink WHERE ino = ?");
  const remove = database.prepare("DELETE FROM symlink WHERE ino = ?");
  return {
    get: (ino) => get.get(ino)?.["target"] as string | undefined,
    add: (ino, target) => void add.run(ino, target),
    remove: (ino) => void remove.run(ino),
  };
}

export function inlineOf(database: DatabaseSync): InlineTable {
  const get = database.prepare("SELECT data FROM inline_data WHERE ino = ?");
  const put = database.prepare("REPLACE INTO inline_data (ino, data) VALUES (?, ?)");
  const remove = database.prepare("DELETE FROM inline_data WHERE ino = ?");
  return {
    get: (ino) => get.get(ino)?.["data"] as Uint8Array | undefined,
    put: (ino, data) => void put.run(ino, data),
    remove: (ino) => remove.run(ino).changes === 1,
  };
}

export function xattrsOf(database: DatabaseSync): XattrTable {
  const get = database.prepare("SELECT value FROM xattr WHERE ino = ? AND name = ?");
  const list = database.prepare("SELECT name FROM xattr WHERE ino = ? ORDER BY name");
  const put = database.prepare("REPLACE INTO xattr (ino, name, value) VALUES (?, ?, ?)");
  const remove = database.prepare("DELETE FROM xattr WHERE ino = ? AND name = ?");
  const total = database.prepare("SELECT coalesce(sum(length(name) + length(value)), 0) AS bytes FROM xattr WHERE ino = ?");
  const clear = database.prepare("DELETE FROM xattr WHERE ino = ?");
  return {
    get: (ino, name) => get.get(ino, name)?.["value"] as Uint8Array | undefined,
    list: (ino) => list.all(ino).map((row) => String(row["name"])),
    total: (ino) => Number(total.get(ino)?.["bytes"]),
    put: (ino, name, value) => void put.run(ino, name, value),
    remove: (ino, name) => remove.run(ino, name).changes === 1,
    clear: (ino) => void clear.run(ino),
  };
}

export function locksOf(database: DatabaseSync): LockTable {
  const all = database.prepare("SELECT session, owner, start, end, type, pid FROM lock WHERE ino = ? AND family = ? ORDER BY start");
  const drop = database.prepare("DELETE FROM lock WHERE ino = ? AND family = ? AND session = ? AND owner = ?");
  const add = database.prepare("INSERT INTO lock (ino, family, session, owner, start, end, type, pid) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  const clear = database.prepare("DELETE FROM lock WHERE ino = ?");
  return {
    held: (ino, family) => all.all(ino, family) as unknown as HeldLock[], // the columns are named like its fields
    replace(ino, { family, owner }, session, next) {
      drop.run(ino, family, session, owner);
      for (const { start, end, type, pid } of next) add.run(ino, family, session, owner, start, end, type, pid);
    },
    clear: (ino) => void clear.run(ino),
  };
}

export function leasesOf(database: DatabaseSync): LeaseTable {
  const holder = database.prepare("SELECT session FROM lease WHERE ino = ?");
  const put = database.prepare("REPLACE INTO lease (ino, session) VALUES (?, ?)");
  const remove = database.prepare("DELETE FROM lease WHERE ino = ? AND session = ?");
  const started = database.prepare("SELECT started_ms FROM session WHERE id = ?");
  return {
    holder: (ino) => holder.get(ino)?.["session"] as number | undefined,
    put: (ino, session) => void put.run(ino, session),
    remove: (ino, session) => void remove.run(ino, session),
    startedMs: (session) => started.get(session)?.["started_ms"] as number | undefined,
  };
}

export function keptOf(database: DatabaseSync): KeptTable {
  const addForOthers = database.prepare("INSERT OR IGNORE INTO open_unlinked (ino, session) SELECT ?, id FROM session WHERE id <> ?");
  const add = database.prepare("INSERT OR IGNORE INTO open_unlinked (ino, session) VALUES (?, ?)");
  const remove = database.prepare("DELETE FROM open_unlinked WHERE ino = ? AND session = ?");
  const has = database.prepare("SELECT 1 FROM open_unlinked WHERE ino = ? LIMIT 1");
  const of = database.prepare("SELECT ino FROM open_unlinked WHERE session = ? LIMIT 256");
  return {
    addForOthers: (ino, session) => Number(addForOthers.run(ino, session).changes),
    add: (ino, session) => void add.run(ino, session),
    remove: (ino, session) => void remove.run(ino, session),
    has: (ino) => has.get(ino) !== undefined,
    of: (session) => inosOf(of, session),
  };
}

export function trashOf(database: DatabaseSync): TrashTable {
  const get = database.prepare("SELECT * FROM trash WHERE ino = ?");
  const add = database.prepare("INSERT INTO trash (ino, parent, name, deleted_ms) VALUES (?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM trash WHERE ino = ?");
  const any = database.prepare("SELECT 1 FROM trash WHERE parent = ? LIMIT 1");
  const list = database.prepare("SELECT * FROM trash WHERE ino > ? ORDER BY ino LIMIT ?");
  // What was in a directory came here before it, and goes before it.
  const old = database.prepare(
    `SELECT ino FROM trash WHERE deleted_ms <= ? AND NOT EXISTS (SELECT 1 FROM trash AS inner WHERE inner.parent = trash.ino)
     ORDER BY deleted_ms LIMIT ?`,
  );
  return {
    get: (ino) => trashRowOf(get.get(ino)),
    add: ({ ino, parent, name, deletedMs }) => void add.run(ino, parent, name, deletedMs),
    remove: (ino) => void remove.run(ino),
    hasAnyOf: (parent) => any.get(parent) !== undefined,
    list: (afterIno, countMax) => list.all(afterIno, countMax).flatMap((row) => trashRowOf(row) ?? []),
    old: (untilMs, countMax) => inosOf(old, untilMs, countMax),
  };
}

export function quotasOf(database: DatabaseSync): QuotaTable {
  const all = database.prepare("SELECT * FROM quota");
  const update = database.prepare("UPDATE quota SET used_bytes = ?, used_inodes = ? WHERE ino = ?");
  const remove = database.prepare("DELETE FROM quota WHERE ino = ?");
  return {
    all: () => all.all().map(quotaRowOf),
    update: (ino, usedBytes, usedInodes) => void update.run(usedBytes, usedInodes, ino),
    remove: (ino) => void remove.run(ino),
  };
}

export const quotaRowOf = (row: Row): QuotaRow => ({
  ino: Number(row["ino"]),
  bytesMax: Number(row["bytes_max"]),
  inodesMax: Number(row["inodes_max"]),
  usedBytes: Number(row["used_bytes"]),
  usedInodes: Number(row["used_inodes"]),
});

const trashRowOf = (row: Row | undefined): TrashRow | undefined =>
  row && { ino: Number(row["ino"]), parent: Number(row["parent"]), name: String(row["name"]), deletedMs: Number(row["deleted_ms"]) };

const inosOf = (statement: StatementSync, ...values: number[]): readonly number[] =>
  statement.all(...values).map((row) => Number(row["ino"]));
