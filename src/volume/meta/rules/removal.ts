import type { FileKind, Outcome } from "../verbs.ts";
import type { Content } from "./content.ts";
import { touched, type Engine, type Stamp } from "./engine.ts";
import type { Node } from "./tables.ts";
import { constants } from "node:os";

const { ENOENT } = constants.errno;

/** In place of a session: the file is open nowhere, and too large to be removed within one verb. */
const COLLECTOR = 0;
/** In place of a session: the inode is in the trash. */
export const TRASH = -2;
/** What can be restored; of devices, pipes and sockets nothing is lost. */
const RESTORABLE: ReadonlySet<FileKind> = new Set(["file", "directory", "symlink"]);
/** Extents that one step removes. */
const STEP_EXTENTS = 512;
const STEP_EVERY_MS = 1000;

/** Where a name was. */
interface Place {
  readonly parent: number;
  readonly name: string;
}

/** Inodes without names: kept while they are open in any session, then removed with all they have. */
export class Removal {
  readonly #engine: Engine;
  readonly #content: Content;
  #steppedMs = 0;

  constructor(engine: Engine, content: Content) {
    this.#engine = engine;
    this.#content = content;
  }

  open(ino: number): Outcome {
    const { group, nodes, opens } = this.#engine;
    const count = opens.get(ino);
    if (count === undefined) {
      group.read();
      if (nodes.get(ino) === undefined) return ENOENT;
    }
    opens.set(ino, (count ?? 0) + 1);
    return 0;
  }

  close(ino: number): Outcome {
    const { opens, group, nodes } = this.#engine;
    const count = opens.get(ino) ?? 0;
    if (count > 1) {
      opens.set(ino, count - 1);
      return 0;
    }
    opens.delete(ino);
    group.read();
    if (nodes.get(ino)?.nlink === 0) this.#letGo(ino);
    return 0;
  }

  /** One name less; without any, the inode goes to the trash of the volume, or as soon as nobody has it open. */
  dropName(node: Node, from: Place, stamp: Stamp): void {
    const { nodes, usage } = this.#engine;
    const nlink = node.kind === "directory" ? 0 : node.nlink - 1;
    if (nlink > 0) {
      nodes.put({ ...touched(node, stamp), nlink });
      return;
    }
    usage.charge(node.parent, 0, -1);
    // In the trash it counts where it was removed; what has no room there is not kept.
    const trashed = this.#isRestorable(node) && usage.move(node.parent, from.parent, node.allocated, 0) === 0;
    const left = nodes.put({ ...touched(node, stamp), nlink: 0, parent: trashed ? from.parent : node.parent });
    if (trashed) {
      this.#engine.trash.add({ ...from, ino: node.ino, deletedMs: stamp.sec * 1000 + Math.floor(stamp.nsec / 1e6) });
      this.#engine.kept.add(node.ino, TRASH);
    }
    if (this.#keep(node.ino) || trashed) return;
    this.#remove(left);
  }

  /** Out of the trash, because it has a name again. */
  untrash(ino: number): void {
    this.#engine.trash.remove(ino);
    this.#engine.kept.remove(ino, TRASH);
  }

  /** Out of the trash, and gone unless it is open. */
  removeTrashed(ino: number): void {
    this.#engine.trash.remove(ino);
    this.#letGo(ino, TRASH);
  }

  /** Whether something in the trash was in this directory. */
  hasTrash(ino: number): boolean {
    return this.#engine.trash.hasAnyOf(ino);
  }

  /** Now and then, or `now`: what other sessions unlinked and nobody here has open, and a part of what is too large for one verb. False when there was none. */
  step(now: boolean): boolean {
    const nowMs = this.#engine.clock.nowMs();
    if (!now && nowMs - this.#steppedMs < STEP_EVERY_MS) return false;
    const left = this.#step();
    this.#steppedMs = nowMs;
    return left;
  }

  #step(): boolean {
    const { group, opens, kept, sessionId } = this.#engine;
    const unopened = kept.of(sessionId).filter((ino) => !opens.has(ino));
    const large = kept.of(COLLECTOR);
    if (unopened.length + large.length === 0 || group.change(false) !== 0) return false;
    for (const ino of unopened) this.#letGo(ino);
    for (const ino of large) this.#letGo(ino, COLLECTOR);
    return true;
  }

  /** A directory also when what was in it before still is, as that would not know any more where it belongs. */
  #isRestorable({ ino, kind }: Node): boolean {
    if (this.#engine.group.volume.trashMs > 0) return RESTORABLE.has(kind);
    return kind === "directory" && this.hasTrash(ino);
  }

  #keep(ino: number): boolean {
    const { opens, group, kept, sessionId } = this.#engine;
    const others = group.volume.sessions > 1 ? kept.addForOthers(ino, sessionId) : 0;
    const here = opens.has(ino);
    if (here) kept.add(ino, sessionId);
    return here || others > 0;
  }

  #letGo(ino: number, session = this.#engine.sessionId): void {
    const { nodes, group, kept } = this.#engine;
    if (group.change(false) !== 0) return; // the collector finds it later
    const node = nodes.get(ino);
    kept.remove(ino, session);
    if (node === undefined || node.nlink > 0 || kept.has(ino)) return;
    this.#remove(node);
  }

  #remove(node: Node): void {
    const { nodes, kept, targets, quotas, xattrs, locks } = this.#engine;
    if (node.kind === "file" && !this.#content.removeSome(node, STEP_EXTENTS)) {
      kept.add(node.ino, COLLECTOR);
      return;
    }
    if (node.kind === "symlink") targets.remove(node.ino);
    if (node.kind === "directory") quotas.remove(node.ino);
    xattrs.clear(node.ino);
    locks.clear(node.ino);
    nodes.remove(node.ino);
  }
}
