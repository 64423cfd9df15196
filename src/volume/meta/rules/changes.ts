/** More than this in one transaction, and others are told to forget everything. */
const FILES_MAX = 2048;

/** What one transaction changed that other sessions may have in a cache. Names and attributes are not among it: no kernel keeps them while several sessions live. */
export interface ChangeSet {
  /** Too much to be named: the list after it is empty. */
  readonly everything: boolean;
  /** Whose content is, or is about to become, another one. */
  readonly inos: readonly number[];
  /** Of whose locks some were given back. */
  readonly unlocked: readonly number[];
}

/** Gathers a ChangeSet. */
export class Changes {
  readonly #inos = new Set<number>();
  readonly #unlocked = new Set<number>();
  #told = false;

  content(ino: number): void {
    if (this.#inos.size < FILES_MAX) this.#inos.add(ino);
  }

  /** A lock of it was given back. */
  unlocked(ino: number): void {
    if (this.#unlocked.size < FILES_MAX) this.#unlocked.add(ino);
  }

  /** What there is now; undefined: nothing. It is told to others, then. */
  set(): ChangeSet | undefined {
    if (this.#inos.size + this.#unlocked.size === 0) return undefined;
    if (this.#inos.size > 0) this.#told = true;
    const everything = this.#inos.size >= FILES_MAX;
    return { everything, inos: everything ? [] : [...this.#inos], unlocked: [...this.#unlocked] };
  }

  forget(): void {
    this.#inos.clear();
    this.#unlocked.clear();
  }

  /** Whether others were told of content since this was asked last. */
  takeTold(): boolean {
    const told = this.#told;
    this.#told = false;
    return told;
  }
}
