/** Points in time of one kind of event that are kept. */
const POINTS_MAX = 160;

export interface LatencyPoint {
  /** Unix seconds. */
  readonly at: number;
  readonly ms: number;
}

export interface LatencyEvent {
  readonly points: LatencyPoint[];
  maxMs: number;
}

/** What took longer than `latency-monitor-threshold`, by the kind of event: `command`, `fork`, …; at most one point for each second, the worst. */
export class Latencies {
  readonly #events = new Map<string, LatencyEvent>();

  get events(): ReadonlyMap<string, LatencyEvent> {
    return this.#events;
  }

  add(name: string, ms: number, nowMs: number): void {
    const at = Math.floor(nowMs / 1000);
    const event = this.#events.get(name) ?? { points: [], maxMs: 0 };
    this.#events.set(name, event);
    event.maxMs = Math.max(event.maxMs, ms);
    const last = event.points.at(-1);
    if (last?.at === at) event.points[event.points.length - 1] = { at, ms: Math.max(last.ms, ms) };
    else event.points.push({ at, ms });
    if (event.points.length > POINTS_MAX) event.points.shift();
  }

  /** Forgets these, or all; how many there were. */
  reset(names: readonly string[]): number {
    if (names.length > 0) return names.filter((name) => this.#events.delete(name)).length;
    const count = this.#events.size;
    this.#events.clear();
    return count;
  }
}
