/** Gathers what is said in one turn of the event loop and passes it on together, in its order, `itemsMax` at most at a time. */
export class TurnBatch<T> {
  readonly #pass: (items: readonly T[]) => void;
  readonly #itemsMax: number;
  #items: T[] = [];

  constructor(options: { readonly itemsMax: number; readonly pass: (items: readonly T[]) => void }) {
    this.#pass = options.pass;
    this.#itemsMax = options.itemsMax;
  }

  add(item: T): void {
    this.#items.push(item);
    if (this.#items.length >= this.#itemsMax) this.flush();
    else if (this.#items.length === 1) setImmediate(() => this.flush());
  }

  /** Passes on at once what is there. */
  flush(): void {
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    this.#pass(items);
  }
}
