import { existsSync, mkdirSync } from "node:fs";
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { isoText } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { IN_DIRECTORY, parseVolumeData, type VolumeData } from "../data/volume-data.ts";
import { failureOf } from "../meta/sqlite/failure.ts";
import { inTransaction } from "../meta/sqlite/transaction.ts";
import { catalogPath, volumesDir } from "./volume-paths.ts";
import { VOLUME_NOT_EXIST, type Tombstone, type VolumeRecord, type VolumeState } from "./volume-record.ts";

const SCHEMA_VERSION = 3;
/** "ANXC": tells the file from a stranger's. */
const APPLICATION_ID = 0x41_4e_58_43;
const BUSY_MS = 5000;

const STEPS: readonly string[] = [
  `CREATE TABLE volume (
    uuid TEXT PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL, epoch INTEGER NOT NULL, read_only INTEGER NOT NULL,
    capacity_bytes INTEGER NOT NULL, inodes_max INTEGER NOT NULL, on_delete TEXT NOT NULL, undelete_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, deleted_ms INTEGER, purge_ms INTEGER, deleted_by TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX volume_by_name ON volume (name) WHERE state <> 'deleted';
  CREATE TABLE tombstone (
    uuid TEXT PRIMARY KEY, name TEXT NOT NULL, epoch INTEGER NOT NULL, deleted_ms INTEGER NOT NULL, deleted_by TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE access_key (
    id TEXT PRIMARY KEY, volume TEXT NOT NULL, secret_sha256 TEXT NOT NULL, created_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;`,
  "ALTER TABLE volume ADD COLUMN data TEXT",
  "ALTER TABLE volume ADD COLUMN trash_ms INTEGER NOT NULL DEFAULT 0",
];

export interface AccessKeyRow {
  readonly id: string;
  readonly volume: string;
  /** Hexadecimal; the secret has 256 random bits, so that no slower hash is needed. */
  readonly secretSha256: string;
  readonly createdAtMs: number;
}

/** Names and records of all volumes of a data directory: the primary, which decides whether a volume exists. Every change is on the disk when it returns. */
export class Catalog implements Disposable {
  readonly #database: DatabaseSync;
  readonly #path: string;

  private constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
  }

  /** Without `create`, one that is not there is `volume.unreachable`. Also throws `disk.newer-format`, `disk.corrupt`, `disk.io`. */
  static open(dataDir: string, { create }: { readonly create: boolean }): Catalog {
    const path = catalogPath(dataDir);
    if (!create && !existsSync(path)) throw new AnaxError("volume.unreachable", { path, reason: "not there" });
    let database: DatabaseSync | undefined;
    try {
      if (create) mkdirSync(volumesDir(dataDir), { recursive: true, mode: 0o750 });
      database = new DatabaseSync(path, { timeout: BUSY_MS });
      database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF");
      migrate(database, path, create);
      return new Catalog(database, path);
    } catch (error) {
      database?.close();
      throw failureOf(error, path);
    }
  }

  /** By name, or by uuid; of several with one name the one that is not deleted. */
  find(nameOrUuid: string): VolumeRecord | undefined {
    return this.#read(() => {
      const row = this.#database
        .prepare("SELECT * FROM volume WHERE uuid = ?1 OR (name = ?1 AND state <> 'deleted') ORDER BY state = 'deleted' LIMIT 1")
        .get(nameOrUuid);
      return row === undefined ? undefined : recordOf(row);
    });
  }

  list(): readonly VolumeRecord[] {
    return this.#read(() => this.#database.prepare("SELECT * FROM volume ORDER BY name, created_ms").all().map(recordOf));
  }

  tombstone(nameOrUuid: string): Tombstone | undefined {
    return this.#read(() => {
      const row = this.#database
        .prepare("SELECT uuid, epoch, deleted_ms, deleted_by FROM tombstone WHERE uuid = ?1 OR name = ?1 ORDER BY deleted_ms DESC LIMIT 1")
        .get(nameOrUuid);
      if (row === undefined) return undefined;
      return {
        uuid: String(row["uuid"]),
        epoch: Number(row["epoch"]),
        deletedAtMs: Number(row["deleted_ms"]),
        deletedBy: String(row["deleted_by"]),
      };
    });
  }

  /** Throws `volume.exists` where the name is taken. */
  insert(volume: VolumeRecord): void {
    this.#change(() => {
      const taken = this.find(volume.name);
      if (taken !== undefined) throw new AnaxError("volume.exists", { volume: volume.name, uuid: taken.uuid, state: taken.state });
      this.#put(volume);
    });
  }

  /** Changes the record, if it still has the epoch that it was read with; a tombstone comes with it once it is beyond return. Throws `volume.changed`. */
  update(before: VolumeRecord, after: VolumeRecord): void {
    this.#change(() => {
      const current = this.find(before.uuid);
      if (current?.epoch !== before.epoch) throw new AnaxError("volume.changed", { volume: before.name, epoch: current?.epoch ?? 0 });
      this.#put(after);
      if (after.state === "purging")
        this.#database
          .prepare("INSERT OR REPLACE INTO tombstone (uuid, name, epoch, deleted_ms, deleted_by) VALUES (?, ?, ?, ?, ?)")
          .run(after.uuid, after.name, after.epoch, after.deletedAtMs ?? 0, after.deletedBy ?? "");
      if (after.state === "deleted") this.#database.prepare("DELETE FROM access_key WHERE volume = ?").run(after.uuid);
    });
  }

  addKey({ id, volume, secretSha256, createdAtMs }: AccessKeyRow): void {
    this.#change(() => {
      this.#database
        .prepare("INSERT INTO access_key (id, volume, secret_sha256, created_ms) VALUES (?, ?, ?, ?)")
        .run(id, volume, secretSha256, createdAtMs);
    });
  }

  /** False when there is none of this id. */
  removeKey(volume: string, id: string): boolean {
    return this.#change(() => this.#database.prepare("DELETE FROM access_key WHERE volume = ? AND id = ?").run(volume, id).changes === 1);
  }

  keys(volume: string): readonly AccessKeyRow[] {
    return this.#read(() =>
      this.#database.prepare("SELECT * FROM access_key WHERE volume = ? ORDER BY created_ms, id").all(volume).map(keyOf),
    );
  }

  key(id: string): AccessKeyRow | undefined {
    return this.#read(() => {
      const row = this.#database.prepare("SELECT * FROM access_key WHERE id = ?").get(id);
      return row === undefined ? undefined : keyOf(row);
    });
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close();
  }

  #put(v: VolumeRecord): void {
    this.#database
      .prepare("INSERT OR REPLACE INTO volume VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .run(
        v.uuid,
        v.name,
        v.owner,
        v.state,
        v.epoch,
        v.readOnly ? 1 : 0,
        v.capacityBytes,
        v.inodesMax,
        v.onDelete,
        v.undeleteMs,
        v.createdAtMs,
        v.deletedAtMs ?? null,
        v.purgeAtMs ?? null,
        v.deletedBy ?? null,
        v.data.kind === "directory" ? null : JSON.stringify(v.data),
        v.trashMs,
      );
  }

  #read<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw failureOf(error, this.#path);
    }
  }

  #change<T>(work: () => T): T {
    return inTransaction(this.#database, this.#path, work);
  }
}

/** Throws `volume.not-found`, `volume.not-exist`. */
export function mustFind(catalog: Catalog, nameOrUuid: string): VolumeRecord {
  const found = catalog.find(nameOrUuid);
  if (found !== undefined && found.state !== "deleted") return found;
  const tombstone = catalog.tombstone(nameOrUuid);
  if (tombstone === undefined) throw new AnaxError("volume.not-found", { volume: nameOrUuid });
  const { uuid, epoch, deletedAtMs, deletedBy } = tombstone;
  throw new AnaxError("volume.not-exist", { wireCode: VOLUME_NOT_EXIST, volume: uuid, epoch, deletedAt: isoText(deletedAtMs), deletedBy });
}

function migrate(database: DatabaseSync, path: string, create: boolean): void {
  const numberOf = (pragma: string): number => Number(Object.values(database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
  if (numberOf("user_version") === SCHEMA_VERSION && numberOf("application_id") === APPLICATION_ID) return;
  inTransaction(database, path, () => {
    const found = numberOf("user_version");
    if (found > SCHEMA_VERSION) throw new AnaxError("disk.newer-format", { path, version: found, supported: SCHEMA_VERSION });
    if (numberOf("application_id") === APPLICATION_ID && found === SCHEMA_VERSION) return; // another process was first
    const empty = database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.["n"] === 0;
    const older = numberOf("application_id") === APPLICATION_ID && found > 0;
    if (!older && (!empty || !create)) throw new AnaxError("disk.corrupt", { path, reason: "the file is no catalog of volumes" });
    for (const step of STEPS.slice(found)) database.exec(step);
    database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}; PRAGMA application_id = ${APPLICATION_ID}`);
  });
}

/** Null: in its directory, as in catalogs that know nothing else. */
function dataOf(stored: SQLOutputValue | undefined): VolumeData {
  if (typeof stored !== "string") return IN_DIRECTORY;
  const data = parseVolumeData(stored);
  if (data === undefined) throw new AnaxError("disk.corrupt", { reason: "a record names no place for content that is known here" });
  return data;
}

const keyOf = (row: Record<string, SQLOutputValue>): AccessKeyRow => ({
  id: String(row["id"]),
  volume: String(row["volume"]),
  secretSha256: String(row["secret_sha256"]),
  createdAtMs: Number(row["created_ms"]),
});

const recordOf = (row: Record<string, SQLOutputValue>): VolumeRecord => ({
  uuid: String(row["uuid"]),
  name: String(row["name"]),
  owner: String(row["owner"]),
  state: row["state"] as VolumeState, // only this class writes it
  epoch: Number(row["epoch"]),
  readOnly: row["read_only"] !== 0,
  capacityBytes: Number(row["capacity_bytes"]),
  inodesMax: Number(row["inodes_max"]),
  onDelete: row["on_delete"] as VolumeRecord["onDelete"], // as above
  undeleteMs: Number(row["undelete_ms"]),
  trashMs: Number(row["trash_ms"]),
  createdAtMs: Number(row["created_ms"]),
  deletedAtMs: row["deleted_ms"] === null ? undefined : Number(row["deleted_ms"]),
  purgeAtMs: row["purge_ms"] === null ? undefined : Number(row["purge_ms"]),
  deletedBy: row["deleted_by"] === null ? undefined : String(row["deleted_by"]),
  data: dataOf(row["data"]),
});
