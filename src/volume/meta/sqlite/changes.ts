import type { DatabaseSync, StatementSync } from "node:sqlite";

/** More than this in one group, and others are told to forget everything. */
const ENTRIES_MAX = 2048;
/** Rows that stay for sessions that are slow to read. */
const KEPT = 100_000;

/** What the open group changed, for the caches of other sessions; written only when there are any. */
export class Changes {
  readonly #insert: StatementSync;
  readonly #trim: StatementSync;
  readonly #sessionId: number;
  readonly #inos = new Set<number>();
  readonly #unlocked = new Set<number>();
  #entries: { readonly parent: number; readonly name: string }[] = [];

  constructor(database: DatabaseSync, sessionId: number) {
    this.#sessionId = sessionId;
    this.#insert = database.prepare("INSERT INTO changelog (session, ino, parent, name) VALUES (?, ?, ?, ?)");
    this.#trim = database.prepare("DELETE FROM changelog WHERE seq <= (SELECT max(seq) FROM changelog) - ?");
  }

  inode(ino: number): void {
    if (this.#inos.size < ENTRIES_MAX) this.#inos.add(ino);
  }

  entry(parent: number, name: string): void {
    if (this.#entries.length < ENTRIES_MAX) this.#entries.push({ parent, name });
  }

  /** A lock of it was given back. */
  unlocked(ino: number): void {
    if (this.#unlocked.size < ENTRIES_MAX) this.#unlocked.add(ino);
  }

  write(shared: boolean): void {
    if (shared && this.#inos.size + this.#entries.length + this.#unlocked.size > 0) {
      const overflow = this.#inos.size >= ENTRIES_MAX || this.#entries.length >= ENTRIES_MAX;
      if (overflow) this.#insert.run(this.#sessionId, EVERYTHING, 0, "");
      else {
        for (const ino of this.#inos) this.#insert.run(this.#sessionId, ino, 0, "");
        for (const { parent, name } of this.#entries) this.#insert.run(this.#sessionId, 0, parent, name);
      }
      for (const ino of this.#unlocked) this.#insert.run(this.#sessionId, ino, 0, UNLOCKED);
      this.#trim.run(KEPT);
    }
    this.forget();
  }

  forget(): void {
    this.#inos.clear();
    this.#unlocked.clear();
    if (this.#entries.length > 0) this.#entries = [];
  }
}

/** In place of a name, which never has a slash: a lock of the inode was given back. */
export const UNLOCKED = "/unlocked";
/** In place of an inode number: all caches. */
export const EVERYTHING = -1;
