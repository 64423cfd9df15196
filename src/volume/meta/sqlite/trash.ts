import { constants } from "node:os";
import { kindOfMode } from "../attributes.ts";
import type { TrashEntry, VolumeTrash } from "../trash.ts";
import { ROOT_INO, type Outcome } from "../verbs.ts";
import { nameError, type Edges } from "./edges.ts";
import { modified, stampOf, touched, type Engine } from "./engine.ts";
import type { Node } from "./nodes.ts";
import { DEPTH_MAX } from "./quotas.ts";
import type { Removal } from "./removal.ts";
import { LINKS_MAX } from "./tree.ts";

const { EEXIST, EMLINK, ENOENT, ENOTDIR, ENOTEMPTY, EXDEV } = constants.errno;

/** Entries that one step removes. */
const STEP = 256;

/** The trash of an engine in this process: no answer is a promise. */
export type TrashVerbs = {
  [V in keyof VolumeTrash]: (...args: Parameters<VolumeTrash[V]>) => Exclude<ReturnType<VolumeTrash[V]>, Promise<unknown>>;
};

/** See `VolumeTrash`. What puts something there is `Removal`. */
export class Trash implements TrashVerbs {
  readonly #engine: Engine;
  readonly #edges: Edges;
  readonly #removal: Removal;
  readonly #statements;

  constructor(engine: Engine, edges: Edges, removal: Removal) {
    const { database } = engine;
    this.#engine = engine;
    this.#edges = edges;
    this.#removal = removal;
    this.#statements = {
      list: database.prepare(
        `SELECT trash.ino, trash.parent, name, deleted_ms, mode, size, allocated FROM trash JOIN node ON node.ino = trash.ino
         WHERE trash.ino > ? ORDER BY trash.ino LIMIT ?`,
      ),
      trashed: database.prepare("SELECT parent, name FROM trash WHERE ino = ?"),
      named: database.prepare("SELECT name FROM edge WHERE parent = ? AND ino = ?"),
      // What was in a directory came here before it, and goes before it.
      old: database.prepare(
        `SELECT ino FROM trash WHERE deleted_ms <= ? AND NOT EXISTS (SELECT 1 FROM trash AS inner WHERE inner.parent = trash.ino)
         ORDER BY deleted_ms LIMIT ?`,
      ),
    };
  }

  list(afterIno: number, countMax: number): readonly TrashEntry[] {
    this.#engine.group.settle(false); // what is changed here is not in the database before
    this.#engine.group.read();
    const paths = new Map<number, string>([[ROOT_INO, ""]]);
    return this.#statements.list.all(afterIno, countMax).map((row) => ({
      ino: Number(row["ino"]),
      kind: kindOfMode(Number(row["mode"])) ?? "file",
      path: `${this.#pathOf(Number(row["parent"]), paths)}/${String(row["name"])}`,
      size: Number(row["size"]),
      bytes: Number(row["allocated"]),
      deletedAtMs: Number(row["deleted_ms"]),
    }));
  }

  restore(ino: number, parent: number, name: string): Outcome {
    const { group, nodes, clock, changes } = this.#engine;
    const refused = group.change(true) || nameError(name);
    if (refused !== 0) return refused;
    const node = this.#statements.trashed.get(ino) === undefined ? undefined : nodes.get(ino);
    const directory = nodes.get(parent);
    if (node === undefined || directory === undefined || directory.nlink === 0) return ENOENT;
    if (directory.kind !== "directory") return ENOTDIR;
    if (this.#edges.get(parent, name) !== undefined) return EEXIST;
    const isDirectory = node.kind === "directory";
    if (isDirectory && directory.nlink >= LINKS_MAX) return EMLINK;
    const full = this.#charge(node, parent);
    if (full !== 0) return full;
    this.#edges.add(parent, name, { ino, type: node.mode >> 12, cookie: group.takeId() });
    this.#removal.untrash(ino);
    const stamp = stampOf(clock);
    nodes.put({ ...touched(node, stamp), nlink: isDirectory ? 2 : 1, parent });
    nodes.put({ ...modified(directory, stamp), nlink: directory.nlink + (isDirectory ? 1 : 0) });
    changes.entry(parent, name);
    changes.inode(parent);
    changes.inode(ino);
    return 0;
  }

  remove(ino: number): Outcome {
    const refused = this.#engine.group.change(false);
    if (refused !== 0) return refused;
    if (this.#statements.trashed.get(ino) === undefined) return ENOENT;
    if (this.#removal.hasTrash(ino)) return ENOTEMPTY;
    this.#removal.removeTrashed(ino);
    return 0;
  }

  expire(): number {
    const { group, clock } = this.#engine;
    group.read();
    const rows = this.#statements.old.all(clock.wallMs() - group.volume.trashMs, STEP);
    return rows.filter((row) => this.remove(Number(row["ino"])) === 0).length;
  }

  /** Its bytes have counted all the time, for the directory that it was in; as an inode it counts again. */
  #charge(node: Node, parent: number): Outcome {
    const { quotas } = this.#engine;
    if (node.kind === "directory" && quotas.differ(node.parent, parent)) return EXDEV;
    const full = quotas.charge(parent, 0, 1);
    if (full !== 0) return full;
    const outcome = quotas.move(node.parent, parent, node.allocated, 0);
    if (outcome !== 0) quotas.charge(parent, 0, -1);
    return outcome;
  }

  /** Of a directory, whether it is in the trash or not. */
  #pathOf(ino: number, paths: Map<number, string>): string {
    const below: { readonly ino: number; readonly name: string }[] = [];
    let at = ino;
    for (; !paths.has(at) && below.length < DEPTH_MAX;) {
      const trashed = this.#statements.trashed.get(at);
      const parent = Number(trashed?.["parent"] ?? this.#engine.nodes.get(at)?.parent ?? ROOT_INO);
      below.push({ ino: at, name: String((trashed ?? this.#statements.named.get(parent, at))?.["name"] ?? `#${at}`) });
      at = parent;
    }
    let path = paths.get(at) ?? "";
    for (const { ino: next, name } of below.toReversed()) paths.set(next, (path = `${path}/${name}`));
    return path;
  }
}
