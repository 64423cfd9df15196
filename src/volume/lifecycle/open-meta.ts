import { existsSync, readFileSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { replaceFileSync } from "../../disk/atomic-replace.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import type { VolumeControl } from "../meta/control.ts";
import type { VolumeLedger } from "../meta/ledger.ts";
import type { NewVolume } from "../meta/new-volume.ts";
import { FENCE } from "../meta/records/keys.ts";
import { exportToSqlite } from "../meta/records/export-records.ts";
import { formatRecords, readDescription } from "../meta/records/format-records.ts";
import { importRecords, type Imported } from "../meta/records/import-records.ts";
import { LONG_CALL_MS, openStore, withoutSecrets } from "../meta/records/open-store.ts";
import { openRecordControl } from "../meta/records/record-control.ts";
import { RecordLedger } from "../meta/records/record-ledger.ts";
import { openRecordVerbs } from "../meta/records/record-verbs.ts";
import { StoreHere } from "../meta/records/store-here.ts";
import type { EngineVerbs } from "../meta/rules/verbs-on.ts";
import { formatSqlite } from "../meta/sqlite/format.ts";
import { openSqliteControl } from "../meta/sqlite/sqlite-control.ts";
import { openSqliteLedger } from "../meta/sqlite/sqlite-ledger.ts";
import { openSqliteVerbs } from "../meta/sqlite/sqlite-verbs.ts";
import { cloneApart } from "./clone-apart.ts";
import { volumePaths } from "./volume-paths.ts";

/** In a volume's directory: where its metadata are, when they are not there. It may have a password in it, so that only its owner reads it. */
const urlPath = (dataDir: string, uuid: string): string => join(volumePaths(dataDir, uuid).dir, "meta.url");

/** In place of the collector's session. */
const COLLECTOR = 0;

export interface MovedMeta extends Imported {
  readonly url: string;
}

interface VerbsOptions {
  readonly sessionId: number;
  readonly clock: Clock;
  readonly onChanges?: () => void;
}

/** The metadata of one volume of a data directory, whichever engine has them. All that opens throws `volume.unreachable` where they are not there. */
export class MetaPlace {
  readonly #uuid: string;
  readonly #sqlite: string;
  /** Undefined: in SQLite. */
  readonly #url: string | undefined;

  private constructor(uuid: string, sqlite: string, url: string | undefined) {
    this.#uuid = uuid;
    this.#sqlite = sqlite;
    this.#url = url;
  }

  static of(dataDir: string, uuid: string): MetaPlace {
    const { meta } = volumePaths(dataDir, uuid);
    return new MetaPlace(uuid, meta, readUrl(urlPath(dataDir, uuid)));
  }

  /** In that engine, for as long as nobody has said that it is to stay so. */
  static at(dataDir: string, uuid: string, url: string): MetaPlace {
    return new MetaPlace(uuid, volumePaths(dataDir, uuid).meta, url);
  }

  /** For a new volume, whose directory is there. Undefined: in SQLite, in that directory. */
  static create(dataDir: string, uuid: string, url: string | undefined): MetaPlace {
    if (url === undefined) rmSync(urlPath(dataDir, uuid), { force: true }); // of one that was here before
    else replaceFileSync(urlPath(dataDir, uuid), Buffer.from(`${url}\n`), { mode: 0o600 });
    return new MetaPlace(uuid, volumePaths(dataDir, uuid).meta, url);
  }

  /**
   * Makes the metadata of a new volume from a copy in SQLite, which is no longer needed then: they are there as a whole, or the engine knows no such volume. Throws
   * `volume.exists`, `volume.not-exist`, `volume.changed` when somebody else does the same.
   */
  static async move(dataDir: string, { path, url, fence, description }: MovedMeta, clock: Clock): Promise<MetaPlace> {
    await using store = await openStore(url, fence.uuid, clock, LONG_CALL_MS);
    await importRecords(store, { path, fence, description }, clock);
    const place = MetaPlace.create(dataDir, fence.uuid, url);
    await removeSqlite(path);
    return place;
  }

  /** For people: without a password. */
  get address(): string {
    return this.#url === undefined ? "sqlite" : withoutSecrets(this.#url);
  }

  /** With the password that may be in it: for nobody who may not use the engine. Undefined: in SQLite. */
  get url(): string | undefined {
    return this.#url;
  }

  /** Others may see the volume than who uses this data directory. */
  get isShared(): boolean {
    return this.#url !== undefined;
  }

  /** What nobody has to ask an engine for: whether there is anything to be opened. */
  get isThere(): boolean {
    return this.#url !== undefined || existsSync(this.#sqlite);
  }

  /** `description` is for who attaches a volume of an engine that others use, too. */
  async format(volume: NewVolume, description: string, clock: Clock): Promise<void> {
    if (this.#url === undefined) return formatSqlite(this.#sqlite, volume, clock);
    await using store = await openStore(this.#url, this.#uuid, clock, LONG_CALL_MS);
    await formatRecords(store, volume, description, clock);
  }

  /** As `format` was given it. Undefined: the engine knows no such volume. */
  async description(clock: Clock): Promise<string | undefined> {
    if (this.#url === undefined) return undefined;
    await using store = await openStore(this.#url, this.#uuid, clock, LONG_CALL_MS);
    return await readDescription(store);
  }

  /** A copy as SQLite keeps it, as of one moment, for a volume of its own. */
  async copyTo(to: string, options: { readonly uuid: string; readonly readOnly: boolean }, clock: Clock): Promise<void> {
    if (this.#url === undefined) return cloneApart({ ...options, from: this.#there(), to });
    const from = `${to}.export`;
    try {
      await using store = await openStore(this.#url, this.#uuid, clock, LONG_CALL_MS);
      await exportToSqlite(store, from);
      await cloneApart({ ...options, from, to });
    } finally {
      await removeSqlite(from);
    }
  }

  async verbs({ sessionId, clock, onChanges = () => undefined }: VerbsOptions): Promise<EngineVerbs> {
    if (this.#url === undefined) return openSqliteVerbs({ path: this.#there(), sessionId, clock, onChanges });
    const store = await StoreHere.open(this.#url, this.#uuid);
    try {
      return openRecordVerbs({ store, sessionId, clock, onChanges });
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }

  async control(clock: Clock): Promise<VolumeControl> {
    if (this.#url === undefined) return openSqliteControl(this.#there(), clock);
    const store = await openStore(this.#url, this.#uuid, clock);
    try {
      return await openRecordControl(store, clock);
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }

  async ledger(clock: Clock): Promise<VolumeLedger> {
    if (this.#url === undefined) return openSqliteLedger(this.#there(), clock);
    const store = await openStore(this.#url, this.#uuid, clock, LONG_CALL_MS);
    return new RecordLedger({ store, clock, openVerbs: () => this.verbs({ sessionId: COLLECTOR, clock }) });
  }

  /** All of it but, with `proof`, what says that the volume is gone; that of SQLite goes with its directory. */
  async drop({ proof }: { readonly proof: boolean }, clock: Clock): Promise<void> {
    if (this.#url === undefined) return;
    await using store = await openStore(this.#url, this.#uuid, clock, LONG_CALL_MS);
    await store.drop(proof ? [FENCE] : []);
  }

  /** Of a volume that was just made and that nobody is to use: it is marked as gone first. */
  async abandon(clock: Clock): Promise<void> {
    if (this.#url === undefined) return;
    await using control = await this.control(clock);
    const fence = await control.readFence();
    await control.writeFence({ ...fence, state: "purging", epoch: fence.epoch + 1 });
    await this.drop({ proof: true }, clock);
  }

  /** SQLite would make an empty file; one that is missing is no proof that the volume is gone. */
  #there(): string {
    if (!existsSync(this.#sqlite))
      throw new AnaxError("volume.unreachable", { volume: this.#uuid, path: this.#sqlite, reason: "not there" });
    return this.#sqlite;
  }
}

/** A database with what SQLite keeps beside it. */
export async function removeSqlite(path: string): Promise<void> {
  for (const end of ["", "-wal", "-shm"]) await rm(`${path}${end}`, { force: true });
}

function readUrl(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw diskErrorOf(error, { path });
  }
}
