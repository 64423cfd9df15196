import { waitsOf, type Clock } from "./clock.ts";

interface Alarm {
  readonly atMs: number;
  readonly order: number;
  readonly fire: () => void;
}

/** Simulated time: nothing happens until `advance` is called, and then in a fixed order. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #epochMs: number;
  readonly #alarms = new Set<Alarm>();
  readonly sleep: Clock["sleep"];
  readonly deadline: Clock["deadline"];

  constructor(epochMs = 1_700_000_000_000) {
    this.#epochMs = epochMs;
    const waits = waitsOf((ms, fire) => this.timer(ms, fire));
    this.sleep = waits.sleep;
    this.deadline = waits.deadline;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#epochMs + this.#nowMs;
  }

  timer(ms: number, fire: () => void): Disposable {
    const alarm: Alarm = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, fire };
    this.#alarms.add(alarm);
    return { [Symbol.dispose]: () => void this.#alarms.delete(alarm) };
  }

  /** Moves time on by `ms`, firing what falls due and letting promises settle after each alarm. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (let due = this.#next(untilMs); due !== undefined; due = this.#next(untilMs)) {
      this.#alarms.delete(due);
      this.#nowMs = due.atMs;
      due.fire();
      await settle();
    }
    this.#nowMs = untilMs;
  }

  /** How many timers wait; a test that ends with one left has leaked it. */
  get pending(): number {
    return this.#alarms.size;
  }

  #next(untilMs: number): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) {
      if (alarm.atMs > untilMs) continue;
      if (first === undefined || alarm.atMs < first.atMs || (alarm.atMs === first.atMs && alarm.order < first.order)) first = alarm;
    }
    return first;
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
