/** More than this in one transaction, and others are told to forget everything. */
const ENTRIES_MAX = 2048;

/** What one transaction changed, for the caches of other sessions. */
export interface ChangeSet {
  /** Too much to be named: the two lists after it are empty. */
  readonly everything: boolean;
  readonly inos: readonly number[];
  readonly entries: readonly { readonly parent: number; readonly name: string }[];
  /** Of whose locks some were given back. */
  readonly unlocked: readonly number[];
}

/** Gathers a ChangeSet. */
export class Changes {
  readonly #inos = new Set<number>();
  readonly #unlocked = new Set<number>();
  #entries: { readonly parent: number; readonly name: string }[] = [];

  inode(ino: number): void {
    if (this.#inos.size < ENTRIES_MAX) this.#inos.add(ino);
  }

  entry(parent: number, name: string): void {
    if (this.#entries.length < ENTRIES_MAX) this.#entries.push({ parent, name });
  }

  /** A lock of it was given back. */
  unlocked(ino: number): void {
    if (this.#unlocked.size < ENTRIES_MAX) this.#unlocked.add(ino);
  }

  /** What there is now; undefined: nothing. */
  set(): ChangeSet | undefined {
    if (this.#inos.size + this.#entries.length + this.#unlocked.size === 0) return undefined;
    const everything = this.#inos.size >= ENTRIES_MAX || this.#entries.length >= ENTRIES_MAX;
    return {
      everything,
      inos: everything ? [] : [...this.#inos],
      entries: everything ? [] : this.#entries,
      unlocked: [...this.#unlocked],
    };
  }

  forget(): void {
    this.#inos.clear();
    this.#unlocked.clear();
    if (this.#entries.length > 0) this.#entries = [];
  }
}
