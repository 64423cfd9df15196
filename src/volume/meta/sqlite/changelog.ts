import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { ChangeSet } from "../rules/changes.ts";

/** Rows that stay for sessions that are slow to read. */
const KEPT = 100_000;

/** In place of a name, which never has a slash: a lock of the inode was given back. */
export const UNLOCKED = "/unlocked";
/** In place of an inode number: all caches. */
export const EVERYTHING = -1;

/** Writes what a session changed. */
export class Changelog {
  readonly #insert: StatementSync;
  readonly #trim: StatementSync;
  readonly #sessionId: number;

  constructor(database: DatabaseSync, sessionId: number) {
    this.#sessionId = sessionId;
    this.#insert = database.prepare("INSERT INTO changelog (session, ino, parent, name) VALUES (?, ?, ?, ?)");
    this.#trim = database.prepare("DELETE FROM changelog WHERE seq <= (SELECT max(seq) FROM changelog) - ?");
  }

  write({ everything, inos, unlocked }: ChangeSet): void {
    if (everything) this.#insert.run(this.#sessionId, EVERYTHING, 0, "");
    for (const ino of inos) this.#insert.run(this.#sessionId, ino, 0, "");
    for (const ino of unlocked) this.#insert.run(this.#sessionId, ino, 0, UNLOCKED);
    this.#trim.run(KEPT);
  }
}
