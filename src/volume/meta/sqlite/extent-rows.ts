import type { DatabaseSync } from "node:sqlite";
import { BLOB_BYTES_MAX } from "../extents.ts";
import { BLOB_PENDING, type BlobTable, type ExtentRow, type ExtentTable } from "../rules/tables.ts";

type RowArray = [number, number, number, number]; // the columns of the statements below

const rowOf = ([position, length, blob, blobOffset]: RowArray): ExtentRow => ({ position, length, blob, blobOffset });

export function extentsOf(database: DatabaseSync): ExtentTable {
  const part = "ino = ?1 AND position > ?2 - ?4 AND position < ?3"; // an extent is no longer than a blob
  const overlapping = database.prepare(`SELECT position, length, blob, blob_offset FROM extent WHERE ${part} ORDER BY position`);
  overlapping.setReturnArrays(true);
  const withBlobs = database.prepare(
    `SELECT position, length, blob, blob_offset, sha256, bytes FROM extent JOIN blob ON blob.id = blob WHERE ${part} ORDER BY position`,
  );
  withBlobs.setReturnArrays(true);
  const first = database.prepare("SELECT position, length, blob, blob_offset FROM extent WHERE ino = ? LIMIT ?");
  first.setReturnArrays(true);
  const insert = database.prepare("INSERT INTO extent (ino, position, length, blob, blob_offset) VALUES (?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM extent WHERE ino = ? AND position = ?");
  return {
    touching(ino, from, to) {
      const rows = overlapping.all(ino, from, to, BLOB_BYTES_MAX) as unknown as RowArray[];
      return rows.map(rowOf).filter((row) => row.position + row.length > from);
    },
    withBlobs(ino, from, to) {
      const rows = withBlobs.all(ino, from, to, BLOB_BYTES_MAX) as unknown as [...RowArray, string, number][];
      return rows
        .filter(([position, length]) => position + length > from)
        .map(([position, length, id, blobOffset, sha256, bytes]) => ({ position, length, blobOffset, blob: { id, sha256, bytes } }));
    },
    first: (ino, countMax) => (first.all(ino, countMax) as unknown as RowArray[]).map(rowOf),
    add: (ino, { position, length, blob, blobOffset }) => void insert.run(ino, position, length, blob, blobOffset),
    remove: (ino, position) => void remove.run(ino, position),
  };
}

export function blobsOf(database: DatabaseSync): BlobTable {
  const reserve = database.prepare("INSERT INTO blob (id, sha256, bytes, refs, state, session, since_ms) VALUES (?, ?, ?, 0, ?, ?, ?)");
  const state = database.prepare("SELECT state FROM blob WHERE id = ?");
  const refer = database.prepare(
    "UPDATE blob SET refs = refs + ?2, state = CASE WHEN refs + ?2 > 0 THEN 1 ELSE 2 END, since_ms = ?3 WHERE id = ?1",
  );
  const foreign = database.prepare(
    "SELECT DISTINCT id, sha256, bytes FROM extent JOIN blob ON blob.id = blob WHERE ino = ? AND session <> ? AND since_ms >= ?",
  );
  return {
    reserve: (id, { sha256, bytes }, session, nowMs) => void reserve.run(id, sha256, bytes, BLOB_PENDING, session, nowMs),
    state: (id) => state.get(id)?.["state"] as number | undefined,
    refer: (id, by, nowMs) => void refer.run(id, by, nowMs),
    foreign: (ino, session, sinceMs) =>
      foreign
        .all(ino, session, sinceMs)
        .map((row) => ({ id: Number(row["id"]), sha256: String(row["sha256"]), bytes: Number(row["bytes"]) })),
  };
}
