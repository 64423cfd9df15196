import type { DatabaseSync, StatementSync } from "node:sqlite";
import { kindOfMode } from "../attributes.ts";
import { blocksOf, type NamedEdge, type Node, type NodeTable } from "../rules/tables.ts";

/** More than this are forgotten between turns. */
const CACHED_MAX = 65_536;

const COLUMNS = "ino, mode, uid, gid, rdev, nlink, size, allocated, atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns, parent";

/** The inodes that this connection has seen, and those that it changed in the open group and that are not in the database yet. */
export class Nodes implements NodeTable {
  readonly #cached = new Map<number, Node>();
  readonly #changed = new Set<number>();
  readonly #select: StatementSync;
  readonly #replace: StatementSync;
  readonly #delete: StatementSync;
  readonly #children: StatementSync;

  constructor(database: DatabaseSync) {
    this.#select = database.prepare(`SELECT ${COLUMNS} FROM node WHERE ino = ?`);
    this.#select.setReturnArrays(true);
    this.#replace = database.prepare(`REPLACE INTO node (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
    this.#delete = database.prepare("DELETE FROM node WHERE ino = ?");
    const columns = COLUMNS.split(", ").map((column) => `node.${column}`);
    this.#children = database.prepare(
      `SELECT ${columns.join(", ")} FROM edge JOIN node ON node.ino = edge.ino WHERE edge.parent = ? AND cookie >= ? AND cookie <= ?`,
    );
    this.#children.setReturnArrays(true);
  }

  get(ino: number): Node | undefined {
    const cached = this.#cached.get(ino);
    if (cached !== undefined) return cached;
    const row = this.#select.get(ino) as unknown as Row | undefined;
    if (row === undefined) return undefined;
    const node = nodeOf(row);
    this.#cached.set(ino, node);
    return node;
  }

  put(node: Node): Node {
    this.#cached.set(node.ino, node);
    this.#changed.add(node.ino);
    return node;
  }

  remove(ino: number): void {
    this.#cached.delete(ino);
    this.#changed.delete(ino);
    this.#delete.run(ino);
  }

  /** Reads what entries with these cookies name, in one go. */
  expect(parent: number, entries: readonly NamedEdge[]): void {
    const [first, last] = [entries[0], entries.at(-1)];
    if (first === undefined || last === undefined) return;
    for (const row of this.#children.all(parent, first.cookie, last.cookie) as unknown as Row[])
      if (!this.#cached.has(row[0])) this.#cached.set(row[0], nodeOf(row));
  }

  /** Brings the changes into the open transaction. */
  write(): void {
    for (const ino of this.#changed) {
      const n = this.#cached.get(ino)!; // what is changed is cached
      this.#replace.run(
        n.ino,
        n.mode,
        n.uid,
        n.gid,
        n.rdev,
        n.nlink,
        n.size,
        n.allocated,
        n.atimeSec,
        n.atimeNsec,
        n.mtimeSec,
        n.mtimeNsec,
        n.ctimeSec,
        n.ctimeNsec,
        n.parent,
      );
    }
    this.#changed.clear();
  }

  /** Others may have changed everything, or the open group is undone. */
  forget(): void {
    this.#cached.clear();
    this.#changed.clear();
  }

  forgetMany(): void {
    if (this.#cached.size > CACHED_MAX && this.#changed.size === 0) this.#cached.clear();
  }
}

type Row = readonly [number, ...number[]];

function nodeOf(row: Row): Node {
  const [ino, mode, uid, gid, rdev, nlink, size, allocated, atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec, parent] =
    row as unknown as Numbers15; // the columns are STRICT, NOT NULL and named in the statement
  const kind = kindOfMode(mode) ?? "file";
  const blocks = blocksOf(allocated);
  return {
    ino,
    kind,
    mode,
    uid,
    gid,
    rdev,
    nlink,
    size,
    blocks,
    atimeSec,
    atimeNsec,
    mtimeSec,
    mtimeNsec,
    ctimeSec,
    ctimeNsec,
    allocated,
    parent,
  };
}

type Numbers15 = [number, number, number, number, number, number, number, number, number, number, number, number, number, number, number];
