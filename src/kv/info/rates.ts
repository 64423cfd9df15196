import type { Store } from "../store.ts";

const SAMPLE_MS = 100;
/** Samples that the average covers. */
const SAMPLES = 16;

interface Totals {
  readonly commands: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
}

/** Commands and bytes a second, averaged over the last 1.6 s. */
export class Rates {
  readonly #samples: { readonly atMs: number; readonly totals: Totals }[] = [];

  get commands(): number {
    return this.#rate("commands");
  }

  get inputBytes(): number {
    return this.#rate("inputBytes");
  }

  get outputBytes(): number {
    return this.#rate("outputBytes");
  }

  /** To be called often; looks at the counters when it is time. */
  sample({ clock, statistics }: Store): void {
    const atMs = clock.nowMs();
    const last = this.#samples.at(-1);
    if (last !== undefined && atMs - last.atMs < SAMPLE_MS) return;
    const { commandsProcessed, inputBytes, outputBytes } = statistics;
    if (last !== undefined && last.totals.commands > commandsProcessed) this.#samples.length = 0; // the counters were reset
    this.#samples.push({ atMs, totals: { commands: commandsProcessed, inputBytes, outputBytes } });
    if (this.#samples.length > SAMPLES) this.#samples.shift();
  }

  #rate(field: keyof Totals): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.atMs === first.atMs) return 0;
    return ((last.totals[field] - first.totals[field]) / (last.atMs - first.atMs)) * 1000;
  }
}
