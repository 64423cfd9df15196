import type { DatabaseSync, StatementSync } from "node:sqlite";
import { BLOB_BYTES_MAX, type Blob, type Extent, type WrittenExtent } from "../extents.ts";

/** Written beforehand, so that no object is ever without a row. */
export const BLOB_PENDING = 0;
/** Extents refer to it. */
export const BLOB_LIVE = 1;
/** Nothing refers to it since `since_ms`. */
export const BLOB_DOOMED = 2;
/** Its object is being deleted; nothing can refer to it any more. */
export const BLOB_DELETING = 3;

interface Row {
  readonly position: number;
  readonly length: number;
  readonly blob: number;
  readonly blobOffset: number;
}

/** Which blobs hold the content of which file: rows without overlap, and how many of them refer to each blob. */
export class ExtentTable {
  readonly #overlapping: StatementSync;
  readonly #withBlobs: StatementSync;
  readonly #foreign: StatementSync;
  readonly #first: StatementSync;
  readonly #insert: StatementSync;
  readonly #delete: StatementSync;
  readonly #refer: StatementSync;
  readonly #state: StatementSync;

  constructor(database: DatabaseSync) {
    const part = "ino = ?1 AND position > ?2 - ?4 AND position < ?3"; // an extent is no longer than a blob
    this.#overlapping = database.prepare(`SELECT position, length, blob, blob_offset FROM extent WHERE ${part} ORDER BY position`);
    this.#overlapping.setReturnArrays(true);
    this.#withBlobs = database.prepare(
      `SELECT position, length, blob, blob_offset, sha256, bytes FROM extent JOIN blob ON blob.id = blob WHERE ${part} ORDER BY position`,
    );
    this.#withBlobs.setReturnArrays(true);
    this.#foreign = database.prepare(
      "SELECT DISTINCT id, sha256, bytes FROM extent JOIN blob ON blob.id = blob WHERE ino = ? AND session <> ? AND since_ms >= ?",
    );
    this.#first = database.prepare("SELECT position, length, blob, blob_offset FROM extent WHERE ino = ? LIMIT ?");
    this.#first.setReturnArrays(true);
    this.#insert = database.prepare("INSERT INTO extent (ino, position, length, blob, blob_offset) VALUES (?, ?, ?, ?, ?)");
    this.#delete = database.prepare("DELETE FROM extent WHERE ino = ? AND position = ?");
    this.#state = database.prepare("SELECT state FROM blob WHERE id = ?");
    this.#refer = database.prepare(
      "UPDATE blob SET refs = refs + ?2, state = CASE WHEN refs + ?2 > 0 THEN 1 ELSE 2 END, since_ms = ?3 WHERE id = ?1",
    );
  }

  /** Those that touch `[from, to)`, with their blobs. */
  read(ino: number, from: number, to: number): readonly Extent[] {
    const rows = this.#withBlobs.all(ino, from, to, BLOB_BYTES_MAX) as unknown as [number, number, number, number, string, number][];
    return rows
      .filter(([position, length]) => position + length > from)
      .map(([position, length, id, blobOffset, sha256, bytes]) => ({ position, length, blobOffset, blob: { id, sha256, bytes } }));
  }

  /** Blobs of a file that other sessions committed lately. */
  foreign(ino: number, sessionId: number, sinceMs: number): readonly Blob[] {
    return this.#foreign
      .all(ino, sessionId, sinceMs)
      .map((row) => ({ id: Number(row["id"]), sha256: String(row["sha256"]), bytes: Number(row["bytes"]) }));
  }

  /** Bytes of `[from, to)` that are no hole. */
  covered(ino: number, from: number, to: number): number {
    let bytes = 0;
    for (const row of this.#touching(ino, from, to)) bytes += Math.min(to, row.position + row.length) - Math.max(from, row.position);
    return bytes;
  }

  /** Makes `[from, to)` a hole; how many bytes are free now. */
  clear(ino: number, from: number, to: number, nowMs: number): number {
    let freed = 0;
    for (const row of this.#touching(ino, from, to)) {
      const end = row.position + row.length;
      const left = from - row.position;
      const right = end - to;
      this.#delete.run(ino, row.position);
      if (left > 0) this.#insert.run(ino, row.position, left, row.blob, row.blobOffset);
      if (right > 0) this.#insert.run(ino, to, right, row.blob, row.blobOffset + row.length - right);
      const references = (left > 0 ? 1 : 0) + (right > 0 ? 1 : 0) - 1;
      if (references !== 0) this.#refer.run(row.blob, references, nowMs);
      freed += row.length - Math.max(0, left) - Math.max(0, right);
    }
    return freed;
  }

  /** Whether the ledger has the blob, as one that is not about to be deleted. */
  mayRefer(blobId: number): boolean {
    const state = this.#state.get(blobId)?.["state"];
    return state === BLOB_PENDING || state === BLOB_LIVE;
  }

  /** Where nothing is any more. */
  add(ino: number, { position, length, blobId, blobOffset }: WrittenExtent, nowMs: number): void {
    this.#refer.run(blobId, 1, nowMs);
    this.#insert.run(ino, position, length, blobId, blobOffset);
  }

  /** Removes at most `countMax` rows of a file; the bytes that are free now, and whether all are gone. */
  removeSome(ino: number, countMax: number, nowMs: number): { readonly freed: number; readonly all: boolean } {
    const rows = (this.#first.all(ino, countMax) as unknown as RowArray[]).map(rowOf);
    let freed = 0;
    for (const row of rows) {
      this.#delete.run(ino, row.position);
      this.#refer.run(row.blob, -1, nowMs);
      freed += row.length;
    }
    return { freed, all: rows.length < countMax };
  }

  #touching(ino: number, from: number, to: number): readonly Row[] {
    const rows = this.#overlapping.all(ino, from, to, BLOB_BYTES_MAX) as unknown as RowArray[];
    return rows.map(rowOf).filter((row) => row.position + row.length > from);
  }
}

type RowArray = [number, number, number, number]; // the columns of the statements above

const rowOf = ([position, length, blob, blobOffset]: RowArray): Row => ({ position, length, blob, blobOffset });
