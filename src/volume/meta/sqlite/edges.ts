import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Edge, EdgeTable, NamedEdge } from "../rules/tables.ts";

/** Entries of directories. */
export class Edges implements EdgeTable {
  readonly #select: StatementSync;
  readonly #insert: StatementSync;
  readonly #delete: StatementSync;
  readonly #any: StatementSync;
  readonly #list: StatementSync;
  readonly #nameOf: StatementSync;

  constructor(database: DatabaseSync) {
    this.#select = database.prepare("SELECT ino, type, cookie FROM edge WHERE parent = ? AND name = ?");
    this.#select.setReturnArrays(true);
    this.#insert = database.prepare("INSERT OR IGNORE INTO edge (parent, name, ino, type, cookie) VALUES (?, ?, ?, ?, ?)");
    this.#delete = database.prepare("DELETE FROM edge WHERE parent = ? AND name = ?");
    this.#any = database.prepare("SELECT 1 FROM edge WHERE parent = ? LIMIT 1");
    this.#list = database.prepare("SELECT name, ino, type, cookie FROM edge WHERE parent = ? AND cookie > ? ORDER BY cookie LIMIT ?");
    this.#list.setReturnArrays(true);
    this.#nameOf = database.prepare("SELECT name FROM edge WHERE parent = ? AND ino = ? LIMIT 1");
  }

  get(parent: number, name: string): Edge | undefined {
    const row = this.#select.get(parent, name) as unknown as [number, number, number] | undefined; // columns of the statement
    return row === undefined ? undefined : { ino: row[0], type: row[1], cookie: row[2] };
  }

  /** False when the name is there already. */
  add(parent: number, name: string, edge: Edge): boolean {
    return this.#insert.run(parent, name, edge.ino, edge.type, edge.cookie).changes === 1;
  }

  remove(parent: number, name: string): void {
    this.#delete.run(parent, name);
  }

  hasAny(parent: number): boolean {
    return this.#any.get(parent) !== undefined;
  }

  list(parent: number, cookie: number, countMax: number): readonly NamedEdge[] {
    const rows = this.#list.all(parent, cookie, countMax) as unknown as [string, number, number, number][]; // columns of the statement
    return rows.map(([name, ino, type, at]) => ({ name, ino, type, cookie: at }));
  }

  nameOf(parent: number, ino: number): string | undefined {
    return this.#nameOf.get(parent, ino)?.["name"] as string | undefined; // a TEXT column
  }
}
