import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../../base/clock.ts";
import { SESSION_TTL_MS, type Session, type SessionInfo } from "../control.ts";
import { BLOB_DOOMED, BLOB_PENDING } from "../rules/tables.ts";

/** Who uses the volume. Every call is made inside of a transaction. */
export class Sessions {
  readonly #database: DatabaseSync;
  readonly #clock: Clock;

  constructor(database: DatabaseSync, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  begin(info: SessionInfo): number {
    this.#sweep();
    const id = this.#insert(undefined, info);
    this.#count();
    return id;
  }

  /** True when the session had been ended by another, and is there again. */
  beat(id: number, info: SessionInfo): boolean {
    const { changes } = this.#database.prepare("UPDATE session SET seen_ms = ? WHERE id = ?").run(this.#clock.wallMs(), id);
    if (changes === 0) this.#insert(id, info);
    if (this.#sweep() || changes === 0) this.#count();
    return changes === 0;
  }

  end(id: number): void {
    this.#remove(id);
    this.#count();
  }

  list(): readonly Session[] {
    return this.#database
      .prepare("SELECT * FROM session ORDER BY id")
      .all()
      .map((row) => ({
        id: Number(row["id"]),
        host: String(row["host"]),
        pid: Number(row["pid"]),
        mountpoint: String(row["mountpoint"]),
        readOnly: row["read_only"] !== 0,
        startedAtMs: Number(row["started_ms"]),
        seenAtMs: Number(row["seen_ms"]),
        acknowledgedSeq: row["acknowledged"] === null ? undefined : Number(row["acknowledged"]),
      }));
  }

  #insert(id: number | undefined, { host, pid, mountpoint, readOnly }: SessionInfo): number {
    const nowMs = this.#clock.wallMs();
    const { lastInsertRowid } = this.#database
      .prepare("INSERT INTO session (id, host, pid, mountpoint, read_only, started_ms, seen_ms) VALUES (?, ?, ?, ?, ?, ?, ?)")
      .run(id ?? null, host, pid, mountpoint, readOnly ? 1 : 0, nowMs, nowMs);
    return Number(lastInsertRowid);
  }

  #sweep(): boolean {
    const silent = this.#database.prepare("SELECT id FROM session WHERE seen_ms < ?").all(this.#clock.wallMs() - SESSION_TTL_MS);
    for (const row of silent) this.#remove(Number(row["id"]));
    return silent.length > 0;
  }

  #remove(id: number): void {
    const database = this.#database;
    database.prepare("DELETE FROM session WHERE id = ?").run(id);
    database.prepare("DELETE FROM lock WHERE session = ?").run(id);
    database.prepare("DELETE FROM lease WHERE session = ?").run(id);
    // What only this session kept goes to the collector, which is session 0.
    database.prepare("INSERT OR IGNORE INTO open_unlinked (ino, session) SELECT ino, 0 FROM open_unlinked WHERE session = ?").run(id);
    database.prepare("DELETE FROM open_unlinked WHERE session = ?").run(id);
    database
      .prepare("UPDATE blob SET state = ?, since_ms = ? WHERE state = ? AND session = ?")
      .run(BLOB_DOOMED, this.#clock.wallMs(), BLOB_PENDING, id);
  }

  #count(): void {
    this.#database.exec("UPDATE volume SET sessions = (SELECT count(*) FROM session)");
  }
}
