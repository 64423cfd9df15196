import { constants } from "node:os";
import type { TrashEntry, VolumeTrash } from "../trash.ts";
import { ROOT_INO, type Outcome } from "../verbs.ts";
import { nameError } from "./names.ts";
import { modified, stampOf, touched, type Engine } from "./engine.ts";
import type { Node } from "./tables.ts";
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
  readonly #removal: Removal;

  constructor(engine: Engine, removal: Removal) {
    this.#engine = engine;
    this.#removal = removal;
  }

  list(afterIno: number, countMax: number): readonly TrashEntry[] {
    this.#engine.group.settle(false); // what is changed here is not in the database before
    this.#engine.group.read();
    const paths = new Map<number, string>([[ROOT_INO, ""]]);
    return this.#engine.trash.list(afterIno, countMax).map(({ ino, parent, name, deletedMs }) => {
      const node = this.#engine.nodes.get(ino);
      return {
        ino,
        kind: node?.kind ?? "file",
        path: `${this.#pathOf(parent, paths)}/${name}`,
        size: node?.size ?? 0,
        bytes: node?.allocated ?? 0,
        deletedAtMs: deletedMs,
      };
    });
  }

  restore(ino: number, parent: number, name: string): Outcome {
    const { group, nodes, edges, clock } = this.#engine;
    const refused = group.change(true) || nameError(name);
    if (refused !== 0) return refused;
    const node = this.#engine.trash.get(ino) === undefined ? undefined : nodes.get(ino);
    const directory = nodes.get(parent);
    if (node === undefined || directory === undefined || directory.nlink === 0) return ENOENT;
    if (directory.kind !== "directory") return ENOTDIR;
    if (edges.get(parent, name) !== undefined) return EEXIST;
    const isDirectory = node.kind === "directory";
    if (isDirectory && directory.nlink >= LINKS_MAX) return EMLINK;
    const full = this.#charge(node, parent);
    if (full !== 0) return full;
    edges.add(parent, name, { ino, type: node.mode >> 12, cookie: group.takeId() });
    this.#removal.untrash(ino);
    const stamp = stampOf(clock);
    nodes.put({ ...touched(node, stamp), nlink: isDirectory ? 2 : 1, parent });
    nodes.put({ ...modified(directory, stamp), nlink: directory.nlink + (isDirectory ? 1 : 0) });
    return 0;
  }

  remove(ino: number): Outcome {
    const refused = this.#engine.group.change(false);
    if (refused !== 0) return refused;
    if (this.#engine.trash.get(ino) === undefined) return ENOENT;
    if (this.#removal.hasTrash(ino)) return ENOTEMPTY;
    this.#removal.removeTrashed(ino);
    return 0;
  }

  expire(): number {
    const { group, clock } = this.#engine;
    group.read();
    const old = this.#engine.trash.old(clock.wallMs() - group.volume.trashMs, STEP);
    return old.filter((ino) => this.remove(ino) === 0).length;
  }

  /** Its bytes have counted all the time, for the directory that it was in; as an inode it counts again. */
  #charge(node: Node, parent: number): Outcome {
    const { usage } = this.#engine;
    if (node.kind === "directory" && usage.differ(node.parent, parent)) return EXDEV;
    const full = usage.charge(parent, 0, 1);
    if (full !== 0) return full;
    const outcome = usage.move(node.parent, parent, node.allocated, 0);
    if (outcome !== 0) usage.charge(parent, 0, -1);
    return outcome;
  }

  /** Of a directory, whether it is in the trash or not. */
  #pathOf(ino: number, paths: Map<number, string>): string {
    const below: { readonly ino: number; readonly name: string }[] = [];
    let at = ino;
    for (; !paths.has(at) && below.length < DEPTH_MAX;) {
      const { trash, nodes, edges } = this.#engine;
      const trashed = trash.get(at);
      const parent = trashed?.parent ?? nodes.get(at)?.parent ?? ROOT_INO;
      below.push({ ino: at, name: trashed?.name ?? edges.nameOf(parent, at) ?? `#${at}` });
      at = parent;
    }
    let path = paths.get(at) ?? "";
    for (const { ino: next, name } of below.toReversed()) paths.set(next, (path = `${path}/${name}`));
    return path;
  }
}
