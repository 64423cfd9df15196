import type { Event } from "../../src/p2p/scheduler/events.ts";

type Kind = Event["kind"];

/** The value that this share of all is below; 0 of nothing. */
export function quantileOf(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).toSorted();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

/**
 * How long each call of `step` took; its processor time is summed up apart, since on a shared machine it is the better measure of a
 * rate.
 */
export class DecisionTimes {
  readonly #byKind = new Map<Kind, { readonly ms: number[]; cpuMs: number }>();

  take<T>(kind: Kind, work: () => T): T {
    const startMs = performance.now();
    const cpu = process.threadCpuUsage();
    const result = work();
    const { user, system } = process.threadCpuUsage(cpu);
    const endMs = performance.now();
    const known = this.#byKind.get(kind) ?? { ms: [], cpuMs: 0 };
    this.#byKind.set(kind, known);
    known.ms.push(endMs - startMs);
    known.cpuMs += (user + system) / 1000;
    return result;
  }

  cpuMs(kind: Kind): number {
    return this.#byKind.get(kind)?.cpuMs ?? 0;
  }

  get totalCpuMs(): number {
    return [...this.#byKind.values()].reduce((sum, { cpuMs }) => sum + cpuMs, 0);
  }

  quantile(share: number, kind?: Kind): number {
    const all = kind === undefined ? [...this.#byKind.values()].flatMap(({ ms }) => ms) : (this.#byKind.get(kind)?.ms ?? []);
    return quantileOf(all, share);
  }

  table(): Readonly<Record<string, { readonly count: number; readonly meanMs: number; readonly p99Ms: number; readonly maxMs: number }>> {
    const rows = [...this.#byKind].map(([kind, { ms, cpuMs }]) => {
      const row = { count: ms.length, meanMs: cpuMs / ms.length, p99Ms: this.quantile(0.99, kind), maxMs: this.quantile(1, kind) };
      return [kind, row] as const;
    });
    return Object.fromEntries(rows);
  }
}
