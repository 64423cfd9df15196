import { constants } from "node:os";
import { kindOfMode, typeBitsOf, type Attributes } from "../attributes.ts";
import { TARGET_BYTES_MAX, type DirectoryEntry, type Errno, type NewNode, type Outcome } from "../verbs.ts";
import { nameError } from "./names.ts";
import { modified, stampOf, touched, type Engine } from "./engine.ts";
import type { Edge, Node } from "./tables.ts";
import type { Leases } from "./leases.ts";
import type { Removal } from "./removal.ts";

const { EEXIST, EINVAL, EISDIR, EMLINK, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EXDEV } = constants.errno;

const SETGID = 0o2000;
/** Names of a file, or directories in a directory: what 31 bits can count. */
export const LINKS_MAX = 2 ** 31 - 1;
const ENTRIES_MAX = 4096;

/** Names and what they lead to, but renaming. */
export class Tree {
  readonly #engine: Engine;
  readonly #removal: Removal;
  readonly #leases: Leases;

  constructor(engine: Engine, removal: Removal, leases: Leases) {
    this.#engine = engine;
    this.#removal = removal;
    this.#leases = leases;
  }

  lookup(parent: number, name: string): Attributes | Errno {
    this.#engine.group.read();
    if (name.length > 255) return ENAMETOOLONG;
    const edge = this.#engine.edges.get(parent, name);
    if (edge !== undefined) {
      this.#leases.mustBeFree(edge.ino);
      return this.#engine.nodes.get(edge.ino) ?? ENOENT;
    }
    const directory = this.#engine.nodes.get(parent);
    return directory !== undefined && directory.kind !== "directory" ? ENOTDIR : ENOENT;
  }

  getattr(ino: number): Attributes | Errno {
    this.#engine.group.read();
    this.#leases.mustBeFree(ino);
    return this.#engine.nodes.get(ino) ?? ENOENT;
  }

  create(parent: number, name: string, made: NewNode): Attributes | Errno {
    const { group, nodes, usage, clock } = this.#engine;
    const refused = group.change(true) || nameError(name);
    if (refused !== 0) return refused;
    if (made.target !== undefined && made.target.length > TARGET_BYTES_MAX) return ENAMETOOLONG;
    if ((made.kind === "symlink") !== (made.target !== undefined) || made.target === "") return EINVAL;
    const directory = nodes.get(parent);
    if (directory === undefined || directory.nlink === 0) return ENOENT;
    if (directory.kind !== "directory") return ENOTDIR;
    const isDirectory = made.kind === "directory";
    if (isDirectory && directory.nlink >= LINKS_MAX) return EMLINK;
    const ino = group.takeId();
    const type = typeBitsOf(made.kind) >> 12;
    if (!this.#engine.edges.add(parent, name, { ino, type, cookie: ino })) return EEXIST;
    const full = usage.charge(parent, 0, 1);
    if (full !== 0) {
      this.#engine.edges.remove(parent, name);
      return full;
    }
    const stamp = stampOf(clock);
    const inherits = (directory.mode & SETGID) !== 0;
    if (made.target !== undefined) this.#engine.targets.add(ino, made.target);
    if (made.leased === true) this.#leases.takeNew(ino);
    nodes.put({ ...modified(directory, stamp), nlink: directory.nlink + (isDirectory ? 1 : 0) });
    return nodes.put({
      ino,
      kind: made.kind,
      mode: typeBitsOf(made.kind) | (made.permissions & 0o7777) | (inherits && isDirectory ? SETGID : 0),
      uid: made.uid,
      gid: inherits ? directory.gid : made.gid,
      rdev: made.kind === "char" || made.kind === "block" ? (made.rdev ?? 0) : 0,
      nlink: isDirectory ? 2 : 1,
      size: made.target?.length ?? 0,
      blocks: 0,
      atimeSec: stamp.sec,
      atimeNsec: stamp.nsec,
      mtimeSec: stamp.sec,
      mtimeNsec: stamp.nsec,
      ctimeSec: stamp.sec,
      ctimeNsec: stamp.nsec,
      allocated: 0,
      parent,
    });
  }

  link(ino: number, newParent: number, newName: string): Attributes | Errno {
    const { group, nodes, usage, clock } = this.#engine;
    const refused = group.change(true) || nameError(newName);
    if (refused !== 0) return refused;
    this.#leases.mustBeFree(ino);
    const node = nodes.get(ino);
    const directory = nodes.get(newParent);
    if (node === undefined || node.nlink === 0 || directory === undefined || directory.nlink === 0) return ENOENT;
    if (node.kind === "directory") return EPERM;
    if (directory.kind !== "directory") return ENOTDIR;
    if (node.nlink >= LINKS_MAX) return EMLINK;
    if (usage.differ(node.parent, newParent)) return this.#engine.edges.get(newParent, newName) === undefined ? EXDEV : EEXIST;
    const edge: Edge = { ino, type: node.mode >> 12, cookie: group.takeId() };
    if (!this.#engine.edges.add(newParent, newName, edge)) return EEXIST;
    const stamp = stampOf(clock);
    nodes.put(modified(directory, stamp));
    return nodes.put({ ...touched(node, stamp), nlink: node.nlink + 1 });
  }

  unlink(parent: number, name: string): Outcome {
    const found = this.#toRemove(parent, name);
    if (typeof found === "number") return found;
    if (found.node.kind === "directory") return EISDIR;
    this.#detach(parent, name, found);
    return 0;
  }

  rmdir(parent: number, name: string): Outcome {
    const found = this.#toRemove(parent, name);
    if (typeof found === "number") return found;
    if (found.node.kind !== "directory") return ENOTDIR;
    if (this.#engine.edges.hasAny(found.node.ino)) return ENOTEMPTY;
    this.#detach(parent, name, found);
    return 0;
  }

  readlink(ino: number): string | Errno {
    this.#engine.group.read();
    const target = this.#engine.targets.get(ino);
    if (target !== undefined) return target;
    return this.#engine.nodes.get(ino) === undefined ? ENOENT : EINVAL;
  }

  readdir(ino: number, cookie: number, countMax: number, attributes: boolean): readonly DirectoryEntry[] | Errno {
    const { group, nodes } = this.#engine;
    group.read();
    const directory = nodes.get(ino);
    if (directory === undefined) return ENOENT;
    if (directory.kind !== "directory") return ENOTDIR;
    const edges = this.#engine.edges.list(ino, cookie, Math.min(countMax, ENTRIES_MAX));
    if (attributes) nodes.expect(ino, edges);
    return edges.map((edge) => ({
      name: edge.name,
      ino: edge.ino,
      kind: kindOfMode(edge.type << 12) ?? "file",
      cookie: edge.cookie,
      attributes: attributes && !this.#leases.isElsewhere(edge.ino) ? nodes.get(edge.ino) : undefined,
    }));
  }

  #toRemove(parent: number, name: string): Found | Errno {
    const { group, nodes } = this.#engine;
    const refused = group.change(false) || (name.length > 255 ? ENAMETOOLONG : 0);
    if (refused !== 0) return refused;
    const directory = nodes.get(parent);
    if (directory === undefined) return ENOENT;
    if (directory.kind !== "directory") return ENOTDIR;
    const edge = this.#engine.edges.get(parent, name);
    const node = edge === undefined ? undefined : nodes.get(edge.ino);
    return node === undefined ? ENOENT : { directory, node };
  }

  #detach(parent: number, name: string, { directory, node }: Found): void {
    const stamp = stampOf(this.#engine.clock);
    this.#engine.edges.remove(parent, name);
    this.#engine.nodes.put({ ...modified(directory, stamp), nlink: directory.nlink - (node.kind === "directory" ? 1 : 0) });
    this.#removal.dropName(node, { parent, name }, stamp);
  }
}

interface Found {
  readonly directory: Node;
  readonly node: Node;
}
