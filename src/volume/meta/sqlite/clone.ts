import { DatabaseSync } from "node:sqlite";
import type { Blob } from "../extents.ts";
import { RECOUNTS } from "./checks.ts";
import { BLOB_LIVE } from "../rules/tables.ts";
import { failureOf } from "./failure.ts";
import { RECOUNT_QUOTA } from "./recount-quota.ts";
import { openDatabase } from "./schema.ts";
import { inTransaction } from "./transaction.ts";

export interface CloneOptions {
  readonly from: string;
  readonly to: string;
  readonly uuid: string;
  readonly readOnly: boolean;
}

/** A copy of the metadata as they are committed at one moment, for a volume of its own. Throws `disk.full`, `disk.io`, `volume.unreachable`. */
export function cloneSqlite({ from, to, uuid, readOnly }: CloneOptions): void {
  const source = openDatabase(from);
  try {
    source.prepare("VACUUM INTO ?").run(to);
  } catch (error) {
    throw failureOf(error, from);
  } finally {
    source.close();
  }
  const database = openDatabase(to);
  try {
    database.exec("PRAGMA synchronous = FULL");
    inTransaction(database, to, () => {
      database.prepare("UPDATE volume SET uuid = ?, state = 'active', epoch = 1, read_only = ?, sessions = 0").run(uuid, readOnly ? 1 : 0);
      // Who uses the other one does not use this one; what has no name there, deleted or open, does not come along.
      database.exec(
        "DELETE FROM session; DELETE FROM lock; DELETE FROM lease; DELETE FROM changelog; DELETE FROM open_unlinked; DELETE FROM trash",
      );
      for (const table of ["extent", "inline_data", "symlink", "xattr", "quota", "node"])
        database.exec(`DELETE FROM ${table} WHERE ino IN (SELECT ino FROM node WHERE nlink = 0)`);
      for (const sql of RECOUNTS) database.exec(sql);
      database.exec("UPDATE volume SET quotas = (SELECT count(*) FROM quota)");
      for (const { ino } of database.prepare("SELECT ino FROM quota").all()) database.prepare(RECOUNT_QUOTA).run(ino!);
      // Only what files refer to comes along; the rest has no object here.
      database.prepare("DELETE FROM blob WHERE state <> ?").run(BLOB_LIVE);
    });
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch (error) {
    throw failureOf(error, to);
  } finally {
    database.close();
  }
}

/** The blobs that files of the volume refer to, in order of their ids. */
export function* liveBlobs(path: string): Iterable<Blob> {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    for (const row of database.prepare("SELECT id, sha256, bytes FROM blob WHERE state = ? ORDER BY id").iterate(BLOB_LIVE))
      yield { id: Number(row["id"]), sha256: String(row["sha256"]), bytes: Number(row["bytes"]) };
  } finally {
    database.close();
  }
}
