import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../../base/clock.ts";
import type { Blob } from "../extents.ts";
import type { CollectRule, Flaw, LedgerCount, VolumeLedger } from "../ledger.ts";
import { CHECKS, RECOUNTS } from "./checks.ts";
import { BLOB_DELETING, BLOB_DOOMED, BLOB_LIVE, BLOB_PENDING } from "../rules/tables.ts";
import { failureOf } from "./failure.ts";
import { openDurable } from "./schema.ts";
import type { EngineVerbs } from "../rules/verbs-on.ts";
import { openSqliteVerbs } from "./sqlite-verbs.ts";
import { inTransaction } from "./transaction.ts";

/** The collector's session: it opens nothing, so that whatever it is left with can go. */
const COLLECTOR = 0;

export function openSqliteLedger(path: string, clock: Clock): VolumeLedger {
  return openDurable(path, (database) => new SqliteLedger(database, path, clock));
}

class SqliteLedger implements VolumeLedger {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #clock: Clock;
  #verbs: EngineVerbs | undefined;

  constructor(database: DatabaseSync, path: string, clock: Clock) {
    this.#database = database;
    this.#path = path;
    this.#clock = clock;
  }

  doomAbandoned(graceMs: number): Promise<number> {
    return this.#change(() => {
      const nowMs = this.#clock.wallMs();
      const { changes } = this.#database
        .prepare("UPDATE blob SET state = ?, since_ms = ? WHERE state = ? AND since_ms <= ? AND session NOT IN (SELECT id FROM session)")
        .run(BLOB_DOOMED, nowMs, BLOB_PENDING, nowMs - graceMs);
      return Number(changes);
    });
  }

  claim({ graceMs, countMax }: CollectRule): Promise<readonly Blob[]> {
    return this.#change(() => {
      const unfinished = this.#blobs("state = ?", [BLOB_DELETING], countMax);
      const doomed = this.#blobs(
        `state = ? AND since_ms <= ? AND refs = 0 AND NOT EXISTS (SELECT 1 FROM extent WHERE extent.blob = blob.id)
         AND NOT EXISTS (SELECT 1 FROM session WHERE seen_ms <= blob.since_ms)`,
        [BLOB_DOOMED, this.#clock.wallMs() - graceMs],
        countMax - unfinished.length,
      );
      const claim = this.#database.prepare("UPDATE blob SET state = ? WHERE id = ?");
      for (const { id } of doomed) claim.run(BLOB_DELETING, id);
      return [...unfinished, ...doomed];
    });
  }

  forget(ids: readonly number[]): Promise<void> {
    return this.#change(() => {
      const remove = this.#database.prepare("DELETE FROM blob WHERE id = ? AND state = ?");
      for (const id of ids) remove.run(id, BLOB_DELETING);
    });
  }

  known(ids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    return this.#read(() => {
      const of = this.#database.prepare("SELECT sha256 FROM blob WHERE id = ?");
      const rows = ids.map((id) => ({ id, row: of.get(id) }));
      return new Map(rows.flatMap(({ id, row }) => (row === undefined ? [] : [[id, String(row["sha256"])] as const])));
    });
  }

  live(afterId: number, countMax: number): Promise<readonly Blob[]> {
    return this.#read(() => this.#blobs("state = ? AND id > ?", [BLOB_LIVE, afterId], countMax));
  }

  entered(afterId: number, countMax: number): Promise<readonly Blob[]> {
    return this.#read(() => this.#blobs("id > ?", [afterId], countMax));
  }

  async expireTrash(): Promise<number> {
    return this.#collector().trash.expire();
  }

  async removeOrphans(): Promise<boolean> {
    return this.#collector().removeOrphans();
  }

  count(): Promise<LedgerCount> {
    return this.#read(() => {
      const number = (sql: string): number => Number(Object.values(this.#database.prepare(sql).get() ?? {})[0] ?? 0);
      const blobs = (what: string, state: number): number => number(`SELECT ${what} FROM blob WHERE state = ${state}`);
      return {
        pending: blobs("count(*)", BLOB_PENDING),
        live: blobs("count(*)", BLOB_LIVE),
        liveBytes: blobs("sum(bytes)", BLOB_LIVE),
        doomed: blobs("count(*)", BLOB_DOOMED),
        doomedBytes: blobs("sum(bytes)", BLOB_DOOMED),
        deleting: blobs("count(*)", BLOB_DELETING),
        inodes: number("SELECT count(*) FROM node WHERE nlink > 0"),
        directories: number("SELECT count(*) FROM node WHERE (mode & 61440) = 16384 AND nlink > 0"),
        extents: number("SELECT count(*) FROM extent"),
        nameless: number("SELECT count(*) FROM node WHERE nlink = 0 AND ino NOT IN (SELECT ino FROM trash)"),
        trash: number("SELECT count(*) FROM trash"),
        trashBytes: number("SELECT sum(allocated) FROM trash JOIN node ON node.ino = trash.ino"),
      };
    });
  }

  check(countMax: number): Promise<readonly Flaw[]> {
    return this.#read(() => {
      this.#database.exec("BEGIN"); // one picture of everything
      try {
        const flaws: Flaw[] = [];
        for (const [kind, sql] of Object.entries(CHECKS) as [Flaw["kind"], string][]) {
          const rows = this.#database.prepare(`${sql} LIMIT ${countMax - flaws.length}`).all();
          for (const row of rows)
            flaws.push({ kind, id: Number(row["id"]), found: Number(row["found"]), expected: Number(row["expected"]) });
        }
        return flaws;
      } finally {
        this.#database.exec("COMMIT");
      }
    });
  }

  recount(): Promise<void> {
    return this.#change(() => {
      for (const sql of RECOUNTS) this.#database.exec(sql);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#verbs?.[Symbol.asyncDispose]();
    if (this.#database.isOpen) this.#database.close();
  }

  #collector(): EngineVerbs {
    return (this.#verbs ??= openSqliteVerbs({ path: this.#path, sessionId: COLLECTOR, clock: this.#clock }));
  }

  #blobs(where: string, values: readonly number[], countMax: number): readonly Blob[] {
    return this.#database
      .prepare(`SELECT id, sha256, bytes FROM blob WHERE ${where} ORDER BY id LIMIT ?`)
      .all(...values, Math.max(0, countMax))
      .map((row) => ({ id: Number(row["id"]), sha256: String(row["sha256"]), bytes: Number(row["bytes"]) }));
  }

  async #read<T>(work: () => T): Promise<T> {
    try {
      return work();
    } catch (error) {
      throw failureOf(error, this.#path);
    }
  }

  async #change<T>(work: () => T): Promise<T> {
    return inTransaction(this.#database, this.#path, work);
  }
}
