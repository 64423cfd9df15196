import type { Attributes } from "../meta/verbs.ts";

interface Known {
  lookups: number;
  mtimeSec: number;
  mtimeNsec: number;
  size: number;
  /** This mount has changed the content since: what the kernel has cached is right, whatever times come next. */
  ours: boolean;
  /** Content was changed since somebody closed it last. */
  unflushed: boolean;
  /** It has no setuid, setgid or capabilities that a write could take away. */
  bare: boolean;
}

/** The nodes that the kernel knows, until it forgets them, and in which version it has their content. */
export class KnownNodes {
  readonly #nodes = new Map<number, Known>();

  get count(): number {
    return this.#nodes.size;
  }

  /** One lookup more: an answer with an entry for this node. */
  entered(attributes: Attributes): void {
    const known = this.#nodes.get(attributes.ino);
    if (known === undefined)
      this.#nodes.set(attributes.ino, { lookups: 1, ...versionOf(attributes), ours: false, unflushed: false, bare: false });
    else known.lookups++;
  }

  forget(ino: number, lookups: number): void {
    const known = this.#nodes.get(ino);
    if (known === undefined) return;
    known.lookups -= lookups;
    if (known.lookups <= 0) this.#nodes.delete(ino);
  }

  /** The content has changed through this mount. */
  changed(ino: number): void {
    const known = this.#nodes.get(ino);
    if (known === undefined) return;
    known.ours = true;
    known.unflushed = true;
  }

  /** Whether content was changed through this mount since this was asked last. */
  takeUnflushed(ino: number): boolean {
    const known = this.#nodes.get(ino);
    if (known?.unflushed !== true) return false;
    known.unflushed = false;
    return true;
  }

  /** All of them. */
  allOutdated(): readonly number[] {
    const inos = [...this.#nodes.keys()];
    for (const ino of inos) this.outdated(ino);
    return inos;
  }

  /** The content has been changed by somebody else. */
  outdated(ino: number): void {
    const known = this.#nodes.get(ino);
    if (known !== undefined) Object.assign(known, { mtimeSec: -1, mtimeNsec: -1, ours: false, bare: false });
  }

  /** Whether writes have nothing to take away from it. */
  isBare(ino: number): boolean {
    return this.#nodes.get(ino)?.bare === true;
  }

  setBare(ino: number, bare: boolean): void {
    const known = this.#nodes.get(ino);
    if (known !== undefined) known.bare = bare;
  }

  /** Whether what the kernel has cached of a file that is opened now is still its content. Remembers the version. */
  isCurrent(attributes: Attributes): boolean {
    const known = this.#nodes.get(attributes.ino);
    if (known === undefined) return false;
    const { mtimeSec, mtimeNsec, size } = attributes;
    const current = known.ours || (known.mtimeSec === mtimeSec && known.mtimeNsec === mtimeNsec && known.size === size);
    Object.assign(known, versionOf(attributes), { ours: false });
    return current;
  }
}

const versionOf = ({ mtimeSec, mtimeNsec, size }: Attributes) => ({ mtimeSec, mtimeNsec, size });
