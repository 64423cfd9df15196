/** What the last value counts for. */
const LATEST = 0.2;

/** A mean in which each value counts for less the more have come since. */
export class RecentMean {
  #value = 0;

  /** 0 before the first. */
  get value(): number {
    return this.#value;
  }

  add(value: number): void {
    this.#value = this.#value === 0 ? value : this.#value * (1 - LATEST) + value * LATEST;
  }
}
