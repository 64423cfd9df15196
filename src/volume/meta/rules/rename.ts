import { constants } from "node:os";
import type { Outcome } from "../verbs.ts";
import { nameError } from "./names.ts";
import { modified, stampOf, touched, type Engine, type Stamp } from "./engine.ts";
import type { Edge, Node } from "./tables.ts";
import { DEPTH_MAX } from "./quotas.ts";
import type { Removal } from "./removal.ts";

const { EEXIST, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EXDEV } = constants.errno;

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

/** One side of a rename. */
interface Side {
  readonly parent: number;
  readonly name: string;
  readonly edge: Edge;
  readonly node: Node;
}

export class Rename {
  readonly #engine: Engine;
  readonly #removal: Removal;

  constructor(engine: Engine, removal: Removal) {
    this.#engine = engine;
    this.#removal = removal;
  }

  rename(parent: number, name: string, newParent: number, newName: string, flags: number): Outcome {
    const { group, nodes } = this.#engine;
    if (flags !== 0 && flags !== RENAME_NOREPLACE && flags !== RENAME_EXCHANGE) return EINVAL;
    const refused = group.change(false) || (name.length > 255 ? ENAMETOOLONG : 0) || nameError(newName);
    if (refused !== 0) return refused;
    const from = nodes.get(parent);
    const to = nodes.get(newParent);
    if (from === undefined || to === undefined || to.nlink === 0) return ENOENT;
    if (from.kind !== "directory" || to.kind !== "directory") return ENOTDIR;
    const source = this.#sideOf(parent, name);
    if (source === undefined) return ENOENT;
    const target = this.#sideOf(newParent, newName);
    if (flags === RENAME_NOREPLACE && target !== undefined) return EEXIST;
    if (flags === RENAME_EXCHANGE) {
      if (target === undefined) return ENOENT;
      return source.node.ino === target.node.ino ? 0 : this.#exchange(source, target);
    }
    if (target?.node.ino === source.node.ino) return 0;
    return this.#move(source, newParent, newName, target);
  }

  #move(source: Side, newParent: number, newName: string, target: Side | undefined): Outcome {
    const refused = this.#mayReplace(source.node, target) || this.#mayMove(source.node, source.parent, newParent);
    if (refused !== 0) return refused;
    const { group, nodes, usage } = this.#engine;
    if (source.node.kind !== "directory") {
      const full = usage.move(source.node.parent, newParent, source.node.allocated);
      if (full !== 0) return full;
    }
    const stamp = stampOf(this.#engine.clock);
    this.#engine.edges.remove(source.parent, source.name);
    if (target !== undefined) {
      this.#engine.edges.remove(newParent, newName);
      this.#removal.dropName(target.node, target, stamp);
      if (target.node.kind === "directory") this.#countLinks(newParent, -1);
    }
    this.#engine.edges.add(newParent, newName, { ...source.edge, cookie: group.takeId() });
    const moved = nodes.get(source.node.ino)!; // it was there, and only its target was dropped
    nodes.put({ ...touched(moved, stamp), parent: newParent });
    if (source.node.kind === "directory" && source.parent !== newParent) {
      this.#countLinks(source.parent, -1);
      this.#countLinks(newParent, 1);
    }
    this.#stampParents(source, newParent, stamp);
    return 0;
  }

  #exchange(a: Side, b: Side): Outcome {
    const refused = this.#mayMove(a.node, a.parent, b.parent) || this.#mayMove(b.node, b.parent, a.parent);
    if (refused !== 0) return refused;
    // A file across directories with quotas would have to count elsewhere, and so might not fit: as a copy it is asked.
    if (this.#engine.usage.differ(a.parent, b.parent)) return EXDEV;
    const { nodes, group } = this.#engine;
    const stamp = stampOf(this.#engine.clock);
    this.#engine.edges.remove(a.parent, a.name);
    this.#engine.edges.remove(b.parent, b.name);
    this.#engine.edges.add(b.parent, b.name, { ...a.edge, cookie: group.takeId() });
    this.#engine.edges.add(a.parent, a.name, { ...b.edge, cookie: group.takeId() });
    nodes.put({ ...touched(a.node, stamp), parent: b.parent });
    nodes.put({ ...touched(b.node, stamp), parent: a.parent });
    const difference = (a.node.kind === "directory" ? 1 : 0) - (b.node.kind === "directory" ? 1 : 0);
    if (difference !== 0 && a.parent !== b.parent) {
      this.#countLinks(a.parent, -difference);
      this.#countLinks(b.parent, difference);
    }
    this.#stampParents(a, b.parent, stamp);
    return 0;
  }

  #mayReplace(source: Node, target: Side | undefined): Outcome {
    if (target === undefined) return 0;
    if (source.kind !== "directory") return target.node.kind === "directory" ? EISDIR : 0;
    if (target.node.kind !== "directory") return ENOTDIR;
    return this.#engine.edges.hasAny(target.node.ino) ? ENOTEMPTY : 0;
  }

  /** EINVAL for a directory into itself, EXDEV into another quota: what is below it would have to be counted anew. */
  #mayMove(node: Node, from: number, to: number): Outcome {
    if (node.kind !== "directory" || from === to) return 0;
    const { nodes, usage } = this.#engine;
    for (let ino = to, depth = 0; depth < DEPTH_MAX; depth++) {
      if (ino === node.ino) return EINVAL;
      const parent = nodes.get(ino)?.parent;
      if (parent === undefined || parent === ino) break;
      ino = parent;
    }
    return usage.differ(from, to) ? EXDEV : 0;
  }

  #countLinks(ino: number, by: number): void {
    const node = this.#engine.nodes.get(ino);
    if (node !== undefined) this.#engine.nodes.put({ ...node, nlink: node.nlink + by });
  }

  #stampParents(source: Side, newParent: number, stamp: Stamp): void {
    const { nodes } = this.#engine;
    for (const ino of new Set([source.parent, newParent])) nodes.put(modified(nodes.get(ino)!, stamp)); // both were found
  }

  #sideOf(parent: number, name: string): Side | undefined {
    const edge = this.#engine.edges.get(parent, name);
    const node = edge === undefined ? undefined : this.#engine.nodes.get(edge.ino);
    return edge === undefined || node === undefined ? undefined : { parent, name, edge, node };
  }
}
