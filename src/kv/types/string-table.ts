/** Of a string: its header, its place in the array, what its length is rounded up by, and its entry in the index. */
const ITEM_BYTES = 68;

/**
 * Different strings at positions from 0 on, and an index that finds them. What is added comes last, and the last takes the place of one that is removed: nothing ever moves to
 * a higher position, and on that `scanDown` relies.
 */
export class StringTable {
  readonly #items: string[] = [];
  readonly #index = new Map<string, number>();
  #chars = 0;

  get size(): number {
    return this.#items.length;
  }

  get bytes(): number {
    return this.#chars + this.#items.length * ITEM_BYTES;
  }

  at(position: number): string {
    return this.#items[position]!;
  }

  /** -1 where it is not there. */
  find(item: string): number {
    return this.#index.get(item) ?? -1;
  }

  /** Adds one that is not there yet. */
  push(item: string): void {
    this.#index.set(item, this.#items.push(item) - 1);
    this.#chars += item.length;
  }

  removeAt(position: number): void {
    const item = this.#items[position]!;
    this.#chars -= item.length;
    this.#index.delete(item);
    removeSwapping(this.#items, position);
    const moved = this.#items[position];
    if (moved !== undefined) this.#index.set(moved, position);
  }

  copy(): StringTable {
    const copy = new StringTable();
    for (const item of this.#items) copy.push(item);
    return copy;
  }
}

/** The last takes the place of the one removed, here and in whatever else is kept by these positions. */
function removeSwapping(items: string[], position: number): void {
  const last = items.pop()!; // `position` is one of them
  if (position < items.length) items[position] = last;
}
