import { closeSync, fdatasyncSync, openSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { constants } from "node:os";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import { VOLUME_NOT_EXIST } from "../../lifecycle/volume-record.ts";
import type { Turn, VolumeRow } from "../rules/tables.ts";
import type { Outcome } from "../verbs.ts";
import { pause } from "../pause.ts";
import { beginImmediate } from "./begin.ts";
import type { Nodes } from "./nodes.ts";

const { EROFS, ENOSPC } = constants.errno;

/** A turn ends by itself after this long: what others did is seen then at the latest, and they get their chance to write. */
const TURN_MS = 10;
/** Changes of one group. */
const CHANGES_MAX = 1024;
/** After so long without a rest a writer lets others write: enough for those that look each millisecond. */
const BUSY_FOR_MS = 100;
const PAUSE_MS = 3;
/** Below this much free space of the file system nothing is added: a group that cannot be committed would be lost. */
const RESERVE_BYTES = 32 * 1024 * 1024;
const RESERVE_CHECK_MS = 1000;

interface OpenRow extends VolumeRow {
  nextId: number;
}

interface GroupOptions {
  readonly database: DatabaseSync;
  readonly path: string;
  readonly nodes: Nodes;
  readonly clock: Clock;
  /** Called inside of the transaction before it is committed. */
  readonly beforeCommit: () => void;
  readonly afterUndo: () => void;
  /** Called when what others may see has changed and more than this session lives. */
  readonly afterCommit: () => void;
}

/**
 * Group commit for one connection. The first verb of a *turn* looks whether other connections have committed something; the first change begins a
 * transaction, and `settle`, so many changes, or so many milliseconds end it. Within a transaction the volume's row is ours, so its counters are plain fields.
 */
export class Group implements Turn {
  readonly #options: GroupOptions;
  readonly #dataVersion: StatementSync;
  readonly #readVolume: StatementSync;
  readonly #writeVolume: StatementSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  #volume: OpenRow;
  #version: number;
  #open = false;
  #shared = false;
  #turnEndsMs = 0;
  #changes = 0;
  #unsynced = false;
  #syncedVersion = -1;
  /** Why a group was undone that nobody waited for. */
  #lost: Error | undefined;
  #journal: number | undefined;
  #timer: Disposable | undefined;
  #pausedMs = 0;
  #spaceCheckedMs = -RESERVE_CHECK_MS;
  #spaceLow = false;

  constructor(options: GroupOptions) {
    const { database } = options;
    this.#options = options;
    this.#dataVersion = database.prepare("PRAGMA data_version");
    this.#dataVersion.setReturnArrays(true);
    this.#readVolume = database.prepare(
      "SELECT uuid, state, epoch, read_only, capacity_bytes, inodes_max, used_bytes, used_inodes, next_id, quotas, sessions, trash_ms FROM volume",
    );
    this.#writeVolume = database.prepare("UPDATE volume SET used_bytes = ?, used_inodes = ?, next_id = ?, quotas = ?");
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#version = this.#currentVersion();
    this.#volume = this.#volumeRow();
  }

  /** As of the begin of the turn; inside of a group exact, and ours to change. */
  get volume(): OpenRow {
    return this.#volume;
  }

  /** For verbs that only read. Throws `volume.not-exist`. */
  read(): void {
    if (this.#open) {
      if (this.#options.clock.nowMs() > this.#turnEndsMs) this.settle(false);
      else return;
    }
    const nowMs = this.#options.clock.nowMs();
    if (nowMs <= this.#turnEndsMs) return;
    this.#options.nodes.forgetMany();
    this.#refresh();
    this.#mustExist();
    if (!this.#shared) this.#turnEndsMs = nowMs + TURN_MS;
  }

  /** For verbs that change something: EROFS where nothing may change, ENOSPC where the disk is nearly full. Throws `volume.not-exist`, SQLite's busy. */
  change(adds: boolean): Outcome {
    if (this.#open && (this.#changes >= CHANGES_MAX || this.#options.clock.nowMs() > this.#turnEndsMs)) {
      this.settle(false);
      this.#letOthers();
    }
    if (!this.#open) this.#start();
    if (this.#volume.state !== "active" || this.#volume.readOnly) return EROFS;
    if (adds && this.#spaceLow) return ENOSPC;
    this.#changes++;
    return 0;
  }

  /** An inode number, or a cookie, that nothing had before. Only within a group. */
  takeId(): number {
    return this.#volume.nextId++;
  }

  /** Ends the group; with `durable` everything up to here stays through a loss of power. When it throws, the group, or an earlier one, is undone. */
  settle(durable: boolean): void {
    this.#turnEndsMs = 0;
    if (this.#open) this.#end();
    if (durable && this.#lost !== undefined) {
      const lost = this.#lost;
      this.#lost = undefined;
      throw lost;
    }
    if (durable) this.#sync();
  }

  share(shared: boolean): void {
    this.#shared = shared;
    if (!this.#open) this.#turnEndsMs = 0;
  }

  /** A verb broke off half-way: what it did must not be committed, and with it goes what the group had before. */
  abandon(): void {
    if (!this.#open) return;
    this.#undo();
    if (this.#changes > 1) this.#lost = new AnaxError("disk.io", { path: this.#options.path, reason: "changes were undone" });
  }

  /** What other connections committed, too, may have been seen here, and be what the caller wants to last. */
  #sync(): void {
    const version = this.#currentVersion();
    if (!this.#unsynced && version === this.#syncedVersion) return;
    this.#journal ??= openSync(`${this.#options.path}-wal`, "r");
    fdatasyncSync(this.#journal);
    this.#unsynced = false;
    this.#syncedVersion = version;
  }

  close(): void {
    if (this.#open) this.settle(false);
    this.#timer?.[Symbol.dispose]();
  }

  /** After the database is closed: while it is open, its locks would go with the descriptor of any file that it locks. */
  closeJournal(): void {
    if (this.#journal !== undefined) closeSync(this.#journal);
    this.#journal = undefined;
  }

  /** Groups that follow each other at once would keep everybody else out: sessions, quotas, other mounts. */
  #letOthers(): void {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#pausedMs < BUSY_FOR_MS) return;
    pause(PAUSE_MS);
    this.#pausedMs = nowMs;
  }

  #start(): void {
    this.#checkSpace();
    beginImmediate(this.#begin);
    this.#open = true;
    this.#changes = 0;
    this.#turnEndsMs = this.#options.clock.nowMs() + TURN_MS;
    try {
      this.#refresh();
      this.#mustExist();
    } catch (error) {
      this.#undo();
      throw error;
    }
    this.#timer ??= this.#options.clock.timer(TURN_MS, () => {
      this.#timer = undefined;
      if (this.#open) this.#endQuietly();
    });
  }

  #end(): void {
    const { volume } = this;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    try {
      this.#options.beforeCommit();
      this.#options.nodes.write();
      this.#writeVolume.run(volume.usedBytes, volume.usedInodes, volume.nextId, volume.quotas);
      this.#commit.run();
    } catch (error) {
      this.#undo();
      throw error;
    }
    this.#open = false;
    this.#unsynced = true;
    if (volume.sessions > 1) this.#options.afterCommit();
  }

  /** Nobody waits for it: who next asks for durability is told. */
  #endQuietly(): void {
    try {
      this.#end();
    } catch (error) {
      this.#lost = error as Error; // SQLite throws nothing else
    }
  }

  #undo(): void {
    if (this.#options.database.isTransaction) this.#options.database.exec("ROLLBACK");
    this.#open = false;
    this.#turnEndsMs = 0;
    this.#options.nodes.forget();
    this.#options.afterUndo();
    this.#volume = this.#volumeRow();
  }

  #refresh(): void {
    const version = this.#currentVersion();
    if (version === this.#version) return;
    this.#version = version;
    this.#options.nodes.forget();
    this.#volume = this.#volumeRow();
  }

  #currentVersion(): number {
    return (this.#dataVersion.get() as unknown as [number])[0];
  }

  #mustExist(): void {
    const { uuid, state, epoch } = this.#volume;
    if (state === "active" || state === "deleting") return;
    throw new AnaxError("volume.not-exist", { wireCode: VOLUME_NOT_EXIST, volume: uuid, epoch });
  }

  #volumeRow(): OpenRow {
    const row = this.#readVolume.get();
    if (row === undefined) throw new AnaxError("disk.corrupt", { path: this.#options.path, reason: "the volume has no record" });
    return {
      uuid: String(row["uuid"]),
      state: String(row["state"]),
      epoch: Number(row["epoch"]),
      readOnly: row["read_only"] !== 0,
      capacityBytes: Number(row["capacity_bytes"]),
      inodesMax: Number(row["inodes_max"]),
      usedBytes: Number(row["used_bytes"]),
      usedInodes: Number(row["used_inodes"]),
      nextId: Number(row["next_id"]),
      quotas: Number(row["quotas"]),
      sessions: Number(row["sessions"]),
      trashMs: Number(row["trash_ms"]),
    };
  }

  #checkSpace(): void {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#spaceCheckedMs < RESERVE_CHECK_MS) return;
    this.#spaceCheckedMs = nowMs;
    const { bavail, bsize } = statfsSync(dirname(this.#options.path));
    this.#spaceLow = bavail * bsize < RESERVE_BYTES;
  }
}
