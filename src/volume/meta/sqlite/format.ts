import type { Clock } from "../../../base/clock.ts";
import { FIRST_ID, type NewVolume } from "../new-volume.ts";
import { ROOT_INO } from "../verbs.ts";
import { stampOf } from "../rules/engine.ts";
import { failureOf } from "./failure.ts";
import { openDatabase } from "./schema.ts";

/** Makes the metadata of an empty volume; a second time on the same file it does nothing. Throws like `openSqliteVerbs`. */
export function formatSqlite(path: string, volume: NewVolume, clock: Clock): void {
  const database = openDatabase(path);
  try {
    const { sec, nsec } = stampOf(clock);
    database.exec("PRAGMA synchronous = FULL; BEGIN IMMEDIATE");
    const { changes } = database
      .prepare(
        `INSERT OR IGNORE INTO volume (one, uuid, state, epoch, read_only, capacity_bytes, inodes_max, used_bytes, used_inodes, next_id, quotas, sessions, trash_ms)
         VALUES (1, ?, 'active', 1, ?, ?, ?, 0, 1, ?, 0, 0, ?)`,
      )
      .run(volume.uuid, volume.readOnly ? 1 : 0, volume.capacityBytes, volume.inodesMax, FIRST_ID, volume.trashMs ?? 0);
    if (changes === 1)
      database
        .prepare("INSERT INTO node VALUES (?, ?, ?, ?, 0, 2, 0, 0, ?, ?, ?, ?, ?, ?, ?)")
        .run(ROOT_INO, 0o040000 | volume.permissions, volume.uid, volume.gid, sec, nsec, sec, nsec, sec, nsec, ROOT_INO);
    database.exec("COMMIT");
  } catch (error) {
    throw failureOf(error, path);
  } finally {
    database.close();
  }
}
