import { constants } from "node:os";
import type { DatabaseSync } from "node:sqlite";
import type { Errno, Outcome } from "../verbs.ts";
import { stampOf, touched, type Engine } from "./engine.ts";

const { E2BIG, EEXIST, EINVAL, ENODATA, ENOENT, ENOSPC, ERANGE } = constants.errno;

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const NAME_MAX = 255;
/** XATTR_SIZE_MAX of Linux. */
const VALUE_MAX = 65_536;
const TOTAL_MAX = 1024 * 1024;

export class Xattrs {
  readonly #engine: Engine;
  readonly #statements;

  constructor(engine: Engine, database: DatabaseSync) {
    this.#engine = engine;
    this.#statements = {
      get: database.prepare("SELECT value FROM xattr WHERE ino = ? AND name = ?"),
      list: database.prepare("SELECT name FROM xattr WHERE ino = ? ORDER BY name"),
      put: database.prepare("REPLACE INTO xattr (ino, name, value) VALUES (?, ?, ?)"),
      remove: database.prepare("DELETE FROM xattr WHERE ino = ? AND name = ?"),
      total: database.prepare("SELECT coalesce(sum(length(name) + length(value)), 0) AS bytes FROM xattr WHERE ino = ?"),
    };
  }

  get(ino: number, name: string): Uint8Array | Errno {
    this.#engine.group.read();
    const row = this.#statements.get.get(ino, name);
    if (row !== undefined) return row["value"] as Uint8Array; // a BLOB column
    return this.#engine.nodes.get(ino) === undefined ? ENOENT : ENODATA;
  }

  set(ino: number, name: string, value: Uint8Array, flags: number): Outcome {
    const refused = this.#engine.group.change(true);
    if (refused !== 0) return refused;
    if (this.#engine.nodes.get(ino) === undefined) return ENOENT;
    if (name === "" || flags > XATTR_REPLACE) return EINVAL;
    if (name.length > NAME_MAX) return ERANGE;
    if (value.length > VALUE_MAX) return E2BIG;
    const before = this.#statements.get.get(ino, name);
    if (flags === XATTR_CREATE && before !== undefined) return EEXIST;
    if (flags === XATTR_REPLACE && before === undefined) return ENODATA;
    if (Number(this.#statements.total.get(ino)?.["bytes"]) + name.length + value.length > TOTAL_MAX) return ENOSPC;
    this.#statements.put.run(ino, name, value);
    this.#touch(ino);
    return 0;
  }

  list(ino: number): readonly string[] | Errno {
    this.#engine.group.read();
    if (this.#engine.nodes.get(ino) === undefined) return ENOENT;
    return this.#statements.list.all(ino).map((row) => String(row["name"]));
  }

  remove(ino: number, name: string): Outcome {
    const refused = this.#engine.group.change(false);
    if (refused !== 0) return refused;
    if (this.#engine.nodes.get(ino) === undefined) return ENOENT;
    if (this.#statements.remove.run(ino, name).changes !== 1) return ENODATA;
    this.#touch(ino);
    return 0;
  }

  #touch(ino: number): void {
    const { nodes, changes, clock } = this.#engine;
    const node = nodes.get(ino);
    if (node !== undefined) nodes.put(touched(node, stampOf(clock)));
    changes.inode(ino);
  }
}
