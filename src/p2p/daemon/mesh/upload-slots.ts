/** How many pieces are sent to neighbours at once, of all tasks. Who finds no slot is told so at once, and called when there is one. */
export class UploadSlots {
  readonly #max: number;
  #inUse = 0;
  readonly #refused = new Set<() => void>();

  constructor(max: number) {
    this.#max = max;
  }

  get inUse(): number {
    return this.#inUse;
  }

  get free(): number {
    return this.#max - this.#inUse;
  }

  /** A slot, or undefined. */
  tryTake(): Disposable | undefined {
    if (this.#inUse >= this.#max) return undefined;
    this.#inUse++;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#inUse--;
        this.#callNext();
      },
    };
  }

  /** `call` is made once, when a slot has become free and those refused before had their turn. */
  onFree(call: () => void): void {
    this.#refused.add(call);
  }

  forget(call: () => void): void {
    this.#refused.delete(call);
  }

  /** One for each free slot: who was called before may want none any more. */
  #callNext(): void {
    for (let free = this.free; free > 0; free--) {
      const [next] = this.#refused;
      if (next === undefined) return;
      this.#refused.delete(next);
      next();
    }
  }
}
