/** I1: a stop is over by then. */
export const STOP_MS_MAX = 1000;

const BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, STOP_MS_MAX];

/** How long stops took. */
export class StopTimes {
  readonly #times: number[] = [];

  add(...ms: readonly number[]): void {
    this.#times.push(...ms);
  }

  get all(): readonly number[] {
    return this.#times;
  }

  get maxMs(): number {
    return this.#times.reduce((max, ms) => Math.max(max, ms), 0);
  }

  /** A line for each bound. */
  histogram(): string {
    const counts = [...BOUNDS_MS, Infinity].map((bound, at) => {
      const count = this.#times.filter((ms) => ms <= bound && ms > (BOUNDS_MS[at - 1] ?? -1)).length;
      return `${bound === Infinity ? ` > ${STOP_MS_MAX}` : `<= ${String(bound).padStart(4)}`} ms ${String(count).padStart(6)}`;
    });
    return [`${this.#times.length} stops, the longest ${this.maxMs.toFixed(1)} ms`, ...counts].join("\n");
  }
}
