import type { Event } from "../../src/p2p/scheduler/events.ts";

type Kind = Event["kind"];

/** How much of a processor each call of `step` took, its share of the garbage collection included: on a shared machine the time on the wall says nothing. */
export class DecisionTimes {
  readonly #byKind = new Map<Kind, number[]>();

  take<T>(kind: Kind, work: () => T): T {
    const before = process.threadCpuUsage();
    const result = work();
    const { user, system } = process.threadCpuUsage(before);
    this.#add(kind, (user + system) / 1000);
    return result;
  }

  #add(kind: Kind, ms: number): void {
    const known = this.#byKind.get(kind);
    if (known === undefined) this.#byKind.set(kind, [ms]);
    else known.push(ms);
  }

  totalMs(kind?: Kind): number {
    return this.#of(kind).reduce((sum, ms) => sum + ms, 0);
  }

  quantile(share: number, kind?: Kind): number {
    const sorted = Float64Array.from(this.#of(kind)).toSorted();
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  }

  table(): Readonly<Record<string, { readonly count: number; readonly meanMs: number; readonly p99Ms: number; readonly maxMs: number }>> {
    const rows = [...this.#byKind].map(([kind, all]) => {
      const row = {
        count: all.length,
        meanMs: this.totalMs(kind) / all.length,
        p99Ms: this.quantile(0.99, kind),
        maxMs: this.quantile(1, kind),
      };
      return [kind, row] as const;
    });
    return Object.fromEntries(rows);
  }

  #of(kind?: Kind): readonly number[] {
    return kind === undefined ? [...this.#byKind.values()].flat() : (this.#byKind.get(kind) ?? []);
  }
}
