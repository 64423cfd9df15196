import { DatabaseSync } from "node:sqlite";
import { AnaxError } from "../../../base/errors.ts";
import { failureOf } from "./failure.ts";

/** Newer files are refused, older ones are brought up to this step by step. */
const SCHEMA_VERSION = 3;
/** "ANXV": tells the file from a stranger's. */
const APPLICATION_ID = 0x41_4e_58_56;
/** For what happens once: a new file, or one that a crash left to be recovered. */
const OPEN_BUSY_MS = 5000;

/** What makes each version of the one before; the first makes it of nothing. See docs/formats/volume-metadata.md. */
const STEPS: readonly string[] = [
  `CREATE TABLE volume (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    uuid TEXT NOT NULL,
    state TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    read_only INTEGER NOT NULL,
    capacity_bytes INTEGER NOT NULL,
    inodes_max INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL,
    used_inodes INTEGER NOT NULL,
    next_id INTEGER NOT NULL,
    quotas INTEGER NOT NULL,
    sessions INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE node (
    ino INTEGER PRIMARY KEY,
    mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL, rdev INTEGER NOT NULL, nlink INTEGER NOT NULL,
    size INTEGER NOT NULL, allocated INTEGER NOT NULL,
    atime INTEGER NOT NULL, atime_ns INTEGER NOT NULL,
    mtime INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    ctime INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    parent INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE edge (
    parent INTEGER NOT NULL, name TEXT NOT NULL, ino INTEGER NOT NULL, type INTEGER NOT NULL, cookie INTEGER NOT NULL,
    PRIMARY KEY (parent, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX edge_by_cookie ON edge (parent, cookie, ino, type);
  CREATE TABLE symlink (ino INTEGER PRIMARY KEY, target TEXT NOT NULL) STRICT;
  CREATE TABLE inline_data (ino INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
  CREATE TABLE extent (
    ino INTEGER NOT NULL, position INTEGER NOT NULL, length INTEGER NOT NULL, blob INTEGER NOT NULL, blob_offset INTEGER NOT NULL,
    PRIMARY KEY (ino, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX extent_by_blob ON extent (blob);
  CREATE TABLE blob (
    id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    refs INTEGER NOT NULL, state INTEGER NOT NULL, session INTEGER NOT NULL, since_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX blob_to_collect ON blob (state, since_ms) WHERE state <> 1;
  CREATE TABLE xattr (ino INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (ino, name)) STRICT, WITHOUT ROWID;
  CREATE TABLE lock (
    ino INTEGER NOT NULL, family TEXT NOT NULL, session INTEGER NOT NULL, owner TEXT NOT NULL, start INTEGER NOT NULL,
    end INTEGER NOT NULL, type TEXT NOT NULL, pid INTEGER NOT NULL,
    PRIMARY KEY (ino, family, session, owner, start)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX lock_by_session ON lock (session);
  CREATE TABLE session (
    id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, pid INTEGER NOT NULL, mountpoint TEXT NOT NULL,
    read_only INTEGER NOT NULL, started_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE open_unlinked (ino INTEGER NOT NULL, session INTEGER NOT NULL, PRIMARY KEY (ino, session)) STRICT, WITHOUT ROWID;
  CREATE INDEX open_unlinked_by_session ON open_unlinked (session);
  CREATE TABLE quota (
    ino INTEGER PRIMARY KEY, bytes_max INTEGER NOT NULL, inodes_max INTEGER NOT NULL, used_bytes INTEGER NOT NULL, used_inodes INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE changelog (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, ino INTEGER NOT NULL, parent INTEGER NOT NULL, name TEXT NOT NULL
  ) STRICT;`,
  `ALTER TABLE volume ADD COLUMN trash_ms INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE trash (ino INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name TEXT NOT NULL, deleted_ms INTEGER NOT NULL) STRICT;
  CREATE INDEX trash_by_parent ON trash (parent);
  CREATE INDEX trash_by_time ON trash (deleted_ms);`,
  `ALTER TABLE session ADD COLUMN acknowledged INTEGER;
  CREATE TABLE lease (ino INTEGER PRIMARY KEY, session INTEGER NOT NULL, wanted INTEGER NOT NULL DEFAULT 0) STRICT;
  CREATE INDEX lease_by_session ON lease (session);`,
];

/** Opens the metadata of a volume. Throws `volume.unreachable`, `disk.newer-format`, `disk.corrupt`, `disk.io`. */
export function openDatabase(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: OPEN_BUSY_MS });
    // Whoever beats for a session checkpoints each time, away from the thread that answers the kernel; 64 MiB of journal are for when nobody does.
    // NORMAL: a commit costs no flush of the disk; `settle` flushes the journal when it is asked to.
    database.exec(`
      PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF;
      PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 16384; PRAGMA journal_size_limit = 67108864;
    `);
    migrate(database, path);
    database.exec("PRAGMA busy_timeout = 1"); // `beginImmediate` waits by itself
    return database;
  } catch (error) {
    database?.close();
    throw failureOf(error, path);
  }
}

/** One whose commits are on disk once they are done, for what `make` makes of it. */
export function openDurable<T>(path: string, make: (database: DatabaseSync) => T): T {
  const database = openDatabase(path);
  try {
    database.exec("PRAGMA synchronous = FULL");
    return make(database);
  } catch (error) {
    database.close();
    throw failureOf(error, path);
  }
}

function migrate(database: DatabaseSync, path: string): void {
  const numberOf = (pragma: string): number => Number(Object.values(database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
  if (numberOf("user_version") === SCHEMA_VERSION && numberOf("application_id") === APPLICATION_ID) return;
  database.exec("BEGIN IMMEDIATE"); // another process may be doing the same
  try {
    const found = numberOf("user_version");
    if (found > SCHEMA_VERSION) throw new AnaxError("disk.newer-format", { path, version: found, supported: SCHEMA_VERSION });
    const ours = numberOf("application_id") === APPLICATION_ID;
    if (!ours && Number(database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.["n"]) > 0)
      throw new AnaxError("disk.corrupt", { path, reason: "the file is no volume" });
    for (const step of STEPS.slice(found)) database.exec(step);
    database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}; PRAGMA application_id = ${APPLICATION_ID}; COMMIT`);
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}
