import { createRandom, type Random } from "../../../src/base/random.ts";

/** Simulated time and chance: what is due first happens first, and what is due together in the order in which it was planned. */
export class World {
  nowMs = 0;
  readonly random: Random;
  readonly violations: string[] = [];
  /** Told of each thing that happens, where somebody wants to read what a seed does. */
  readonly trace: ((text: string) => void) | undefined;
  /** What faults have made late, and that is still to come. */
  onTheWay = 0;
  #order = 0;
  readonly #heap: Due[] = [];

  constructor(seed: number, trace?: (line: string) => void) {
    this.random = createRandom(seed);
    if (trace !== undefined) this.trace = (text) => trace(`${this.nowMs.toFixed(1).padStart(8)} ${text}`);
  }

  after(ms: number, happen: () => void): void {
    const due: Due = { atMs: this.nowMs + ms, order: this.#order++, happen };
    let at = this.#heap.push(due) - 1;
    for (let parent = (at - 1) >> 1; at > 0 && before(due, this.#heap[parent]!); parent = (at - 1) >> 1) {
      this.#heap[at] = this.#heap[parent]!;
      this.#heap[parent] = due;
      at = parent;
    }
  }

  /** On its way to somebody: nobody is at rest before it has come. */
  travels(ms: number, arrive: () => void): void {
    this.onTheWay++;
    this.after(ms, () => {
      this.onTheWay--;
      arrive();
    });
  }

  /** Until that time, or nothing more is to come. */
  runUntil(ms: number): void {
    while (this.#heap.length > 0 && this.#heap[0]!.atMs <= ms && this.violations.length === 0) {
      const due = this.#pop();
      this.nowMs = due.atMs;
      due.happen();
    }
    this.nowMs = ms;
  }

  chance(probability: number): boolean {
    return this.random.next() < probability;
  }

  between(low: number, high: number): number {
    return low + this.random.next() * (high - low);
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.random.below(items.length)];
  }

  violated(text: string): void {
    this.trace?.(`violation: ${text}`);
    this.violations.push(`${text} (at ${Math.round(this.nowMs)} ms)`);
  }

  #pop(): Due {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    heap[0] = last;
    for (let at = 0; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < heap.length && before(heap[child]!, heap[least]!)) least = child;
      if (least === at) return first;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }
}

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly happen: () => void;
}

const before = (a: Due, b: Due): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
