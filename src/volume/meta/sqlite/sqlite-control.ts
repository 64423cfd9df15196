import { constants } from "node:os";
import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import type { DirectoryQuota, ForeignChanges, Peers, Pulse, Session, SessionInfo, VolumeControl, VolumeFence } from "../control.ts";
import { EVERYTHING, UNLOCKED } from "./changelog.ts";
import { ROOT_INO } from "../verbs.ts";
import { failureOf } from "./failure.ts";
import { DEPTH_MAX } from "../rules/quotas.ts";
import { RECOUNT_QUOTA } from "./recount-quota.ts";
import { quotaRowOf } from "./small-tables.ts";
import { openDurable } from "./schema.ts";
import { Sessions } from "./sessions.ts";
import { inTransaction } from "./transaction.ts";

const { ENOENT, ENOTDIR } = constants.errno;
const CHANGES_MAX = 4096;
/** The thread that beats also says that its process lives, several times in the time after which it would count as hung; a beat that is left out comes again. */
const BEAT_WAIT_MS = 1000;
const DIRECTORY = 0o040000;

/** The control of a volume over the SQLite file that its verbs use, in a connection of its own. */
export function openSqliteControl(path: string, clock: Clock): VolumeControl {
  return openDurable(path, (database) => new SqliteControl(database, path, clock));
}

class SqliteControl implements VolumeControl {
  readonly volumeUuid: string;
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #sessions: Sessions;

  constructor(database: DatabaseSync, path: string, clock: Clock) {
    this.#database = database;
    this.#path = path;
    this.#sessions = new Sessions(database, clock);
    this.volumeUuid = String(this.#volume()["uuid"]);
  }

  readFence(): Promise<VolumeFence> {
    return this.#read(() => {
      const row = this.#volume();
      return {
        state: row["state"] as VolumeFence["state"], // written by writeFence only
        epoch: Number(row["epoch"]),
        readOnly: row["read_only"] !== 0,
        capacityBytes: Number(row["capacity_bytes"]),
        inodesMax: Number(row["inodes_max"]),
        trashMs: Number(row["trash_ms"]),
      };
    });
  }

  writeFence({ state, epoch, readOnly, capacityBytes, inodesMax, trashMs }: VolumeFence): Promise<boolean> {
    return this.#change(() => {
      const { changes } = this.#database
        .prepare("UPDATE volume SET state = ?, epoch = ?, read_only = ?, capacity_bytes = ?, inodes_max = ?, trash_ms = ? WHERE epoch <= ?")
        .run(state, epoch, readOnly ? 1 : 0, capacityBytes, inodesMax, trashMs, epoch);
      return changes === 1;
    });
  }

  beginSession(info: SessionInfo): Promise<number> {
    return this.#change(() => this.#sessions.begin(info));
  }

  async heartbeat(id: number, info: SessionInfo): Promise<Pulse> {
    const pulse = await this.#change(() => {
      const revived = this.#sessions.beat(id, info);
      const { state, epoch } = this.#volume();
      return { state: String(state), epoch: Number(epoch), changeSeq: this.#changeSeq(), revived };
    }, BEAT_WAIT_MS);
    await this.#read(() => this.#database.exec("PRAGMA wal_checkpoint(PASSIVE)")); // waits for nobody
    return pulse;
  }

  endSession(id: number): Promise<void> {
    return this.#change(() => this.#sessions.end(id));
  }

  sessions(): Promise<readonly Session[]> {
    return this.#read(() => this.#sessions.list());
  }

  join(id: number): Promise<number> {
    return this.#note(() => {
      const { lastInsertRowid } = this.#database.prepare("INSERT INTO changelog (session, ino, parent, name) VALUES (?, 0, 0, '')").run(id);
      this.#database.prepare("UPDATE session SET acknowledged = ? WHERE id = ?").run(lastInsertRowid, id);
      return Number(lastInsertRowid);
    });
  }

  peers(): Promise<Peers> {
    return this.#read(() => ({ changeSeq: this.#changeSeq(), sessions: this.#sessions.list() }));
  }

  acknowledge(id: number, seq: number): Promise<void> {
    return this.#note(() => {
      this.#database.prepare("UPDATE session SET acknowledged = ? WHERE id = ? AND acknowledged < ?").run(seq, id, seq);
    });
  }

  want(ino: number, holder: number): Promise<boolean> {
    return this.#note(
      () => this.#database.prepare("UPDATE lease SET wanted = 1 WHERE ino = ? AND session = ? AND wanted = 0").run(ino, holder).changes > 0,
    );
  }

  wanted(id: number): Promise<readonly number[]> {
    return this.#read(() =>
      this.#database
        .prepare("SELECT ino FROM lease WHERE session = ? AND wanted = 1 LIMIT ?")
        .all(id, CHANGES_MAX)
        .map((row) => Number(row["ino"])),
    );
  }

  /** All sessions are of this machine. */
  tell(): void {
    // by a file: see VolumeWatch
  }

  listen(): undefined {
    return undefined;
  }

  changesSince(seq: number, sessionId: number): Promise<ForeignChanges> {
    return this.#read(() => {
      const oldest = Number(this.#database.prepare("SELECT coalesce(min(seq), 0) AS seq FROM changelog").get()?.["seq"]);
      const rows = this.#database
        .prepare("SELECT seq, ino, name FROM changelog WHERE seq > ? AND session <> ? AND parent = 0 ORDER BY seq LIMIT ?")
        .all(seq, sessionId, CHANGES_MAX + 1)
        .map((row) => ({ ino: Number(row["ino"]), name: String(row["name"]) }));
      const named = rows.filter(({ ino }) => ino !== EVERYTHING);
      return {
        seq: this.#changeSeq(),
        everything: oldest > seq + 1 || rows.length > CHANGES_MAX || named.length < rows.length,
        inos: [...new Set(named.filter(({ ino, name }) => ino > 0 && name === "").map(({ ino }) => ino))],
        unlocked: [...new Set(named.filter(({ name }) => name === UNLOCKED).map(({ ino }) => ino))],
      };
    });
  }

  pathOf(ino: number): Promise<string> {
    return this.#read(() => {
      const edge = this.#database.prepare("SELECT parent, name FROM edge WHERE ino = ? LIMIT 1");
      const names: string[] = [];
      for (let at = ino; at !== ROOT_INO && names.length < DEPTH_MAX;) {
        const row = edge.get(at);
        if (row === undefined) return `#${ino}`;
        names.unshift(Buffer.from(String(row["name"]), "latin1").toString("utf8"));
        at = Number(row["parent"]);
      }
      return `/${names.join("/")}`;
    });
  }

  quotas(): Promise<readonly DirectoryQuota[]> {
    return this.#read(() => this.#database.prepare("SELECT * FROM quota ORDER BY ino LIMIT 10000").all().map(quotaRowOf));
  }

  setQuota(
    ino: number,
    { bytesMax, inodesMax }: { readonly bytesMax: number; readonly inodesMax: number },
  ): Promise<DirectoryQuota | number | undefined> {
    return this.#change(() => {
      const mode = this.#database.prepare("SELECT mode FROM node WHERE ino = ?").get(ino)?.["mode"];
      if (mode === undefined) return ENOENT;
      if ((Number(mode) & 0o170000) !== DIRECTORY) return ENOTDIR;
      this.#database.prepare("DELETE FROM quota WHERE ino = ?").run(ino);
      if (bytesMax > 0 || inodesMax > 0) {
        this.#database.prepare("INSERT INTO quota VALUES (?, ?, ?, 0, 0)").run(ino, bytesMax, inodesMax);
        this.#database.prepare(RECOUNT_QUOTA).run(ino);
      }
      this.#database.exec("UPDATE volume SET quotas = (SELECT count(*) FROM quota)");
      const row = this.#database.prepare("SELECT * FROM quota WHERE ino = ?").get(ino);
      return row === undefined ? undefined : quotaRowOf(row);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }

  #volume(): Record<string, unknown> {
    const row = this.#database.prepare("SELECT * FROM volume").get();
    if (row === undefined) throw new AnaxError("disk.corrupt", { path: this.#path, reason: "the volume has no record" });
    return row;
  }

  #changeSeq(): number {
    return Number(this.#database.prepare("SELECT coalesce(max(seq), 0) AS seq FROM changelog").get()?.["seq"]);
  }

  async #read<T>(work: () => T): Promise<T> {
    try {
      return work();
    } catch (error) {
      throw failureOf(error, this.#path);
    }
  }

  /** What nobody needs after a loss of power. */
  async #note<T>(work: () => T): Promise<T> {
    this.#database.exec("PRAGMA synchronous = NORMAL");
    try {
      return inTransaction(this.#database, this.#path, work, BEAT_WAIT_MS);
    } finally {
      this.#database.exec("PRAGMA synchronous = FULL");
    }
  }

  async #change<T>(work: () => T, waitMs?: number): Promise<T> {
    return inTransaction(this.#database, this.#path, work, waitMs);
  }
}
