/** Up to here looking at each is as quick as hashing, and takes a third of the memory. */
const FLAT_MAX = 32;
/** Of a string: its header, its place in the array, and half of what its length is rounded up by. */
const ITEM_BYTES = 28;
/** Of an entry of the index. */
const INDEX_BYTES = 40;

/**
 * Different strings at positions from 0 on, found by an index once they are many. What is added comes last; of few the rest keeps its order when one is removed,
 * of many the last takes its place. Either way nothing ever moves to a higher position, and on that `scanDown` relies.
 */
export class StringTable {
  readonly #items: string[] = [];
  #index: Map<string, number> | undefined;
  #chars = 0;

  get size(): number {
    return this.#items.length;
  }

  get bytes(): number {
    return this.#chars + this.#items.length * (this.#index === undefined ? ITEM_BYTES : ITEM_BYTES + INDEX_BYTES);
  }

  at(position: number): string {
    return this.#items[position]!;
  }

  /** -1 where it is not there. */
  find(item: string): number {
    return this.#index === undefined ? this.#items.indexOf(item) : (this.#index.get(item) ?? -1);
  }

  /** Adds one that is not there yet. */
  push(item: string): void {
    const position = this.#items.push(item) - 1;
    this.#chars += item.length;
    if (this.#index !== undefined) this.#index.set(item, position);
    else if (position === FLAT_MAX) this.#index = new Map(this.#items.map((each, at) => [each, at]));
  }

  removeAt(position: number): void {
    const item = this.#items[position]!;
    this.#chars -= item.length;
    this.removeBeside(this.#items, position);
    if (this.#index === undefined) return;
    this.#index.delete(item);
    const moved = this.#items[position];
    if (moved !== undefined) this.#index.set(moved, position);
  }

  /** Removes from an array whose items belong to those here by their positions; to be called before `removeAt`. */
  removeBeside(array: unknown[], position: number): void {
    if (this.#index === undefined) array.splice(position, 1);
    else {
      const last = array.pop();
      if (position < array.length) array[position] = last;
    }
  }

  copy(): StringTable {
    const copy = new StringTable();
    for (const item of this.#items) copy.push(item);
    return copy;
  }
}
