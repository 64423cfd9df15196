/** What peers may take until they begin to give, where nothing else is said; the other times are multiples of it. */
export const PEER_WAIT_MS = 2000;
/** At least, where nothing is known of them, until all is there; and at most, as whoever reads waits for it. */
const WHOLE_MIN = 4;
const BEGUN_MAX = 6;
const WHOLE_MAX = 12;
const GIVE_UP = 16;
/** So many times what 95 of 100 need is late. */
const LATE_FACTOR = 3;
const TIMES_KEPT = 64;
/** A question to the store besides is paid for by so many answers of peers; and so many at once are in stock. */
const ANSWERS_PER_HEDGE = 50;
const HEDGES_MAX = 3;
/** Failures in a row after which peers are left alone, for a time that doubles while nothing gets better. */
const FAILURES_MAX = 3;
const REST_FIRST_MS = 5000;
const REST_MAX_MS = 60_000;

/** How long peers may take before the store is asked besides. */
export interface Patience {
  /** Until they begin to give. */
  readonly begunMs: number;
  /** Until they have given all. */
  readonly wholeMs: number;
  /** The same; by then the store is asked even where no more such questions are in stock. */
  readonly giveUpMs: number;
}

/**
 * When peers are asked for a blob, and for how long, by how they did before. The store is asked besides only where they are late, and seldom, or all who wait for one slow
 * peer would read it; where they fail again and again they are left alone for a while. Times are those of a clock, in milliseconds.
 */
export class PeerPolicy {
  readonly #begun = new Times();
  readonly #whole = new Times();
  #hedges = HEDGES_MAX;
  #failures = 0;
  #restMs = REST_FIRST_MS;
  #restUntilMs = 0;
  #reason: string | undefined;
  readonly #waitMs: number;

  /** `waitMs`: what peers may always take until they begin to give. */
  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  /** Undefined: they are not to be asked now. */
  patience(nowMs: number): Patience | undefined {
    if (nowMs < this.#restUntilMs) return undefined;
    const within = (ms: number, least: number, most: number): number => Math.min(Math.max(ms, this.#waitMs * least), this.#waitMs * most);
    return {
      begunMs: within(this.#begun.most * LATE_FACTOR, 1, BEGUN_MAX),
      wholeMs: within(this.#whole.most * LATE_FACTOR, WHOLE_MIN, WHOLE_MAX),
      giveUpMs: this.#waitMs * GIVE_UP,
    };
  }

  /** Why they are not asked, and until when. */
  resting(nowMs: number): { readonly untilMs: number; readonly reason: string } | undefined {
    return nowMs < this.#restUntilMs ? { untilMs: this.#restUntilMs, reason: this.#reason ?? "" } : undefined;
  }

  /** Whether the store may be asked besides. */
  takeHedge(): boolean {
    if (this.#hedges < 1) return false;
    this.#hedges--;
    return true;
  }

  served({ begunMs, wholeMs }: { readonly begunMs: number; readonly wholeMs: number }): void {
    this.#begun.add(begunMs);
    this.#whole.add(wholeMs);
    this.#hedges = Math.min(HEDGES_MAX, this.#hedges + 1 / ANSWERS_PER_HEDGE);
    this.#failures = 0;
    this.#restMs = REST_FIRST_MS;
  }

  /** They failed, or the store was quicker although it was asked later. True: they are left alone from now on. */
  failed(reason: string, nowMs: number): boolean {
    if (++this.#failures < FAILURES_MAX || nowMs < this.#restUntilMs) return false;
    this.#reason = reason;
    this.#restUntilMs = nowMs + this.#restMs;
    this.#restMs = Math.min(this.#restMs * 2, REST_MAX_MS);
    return true;
  }
}

/** The last times that something took. */
class Times {
  readonly #last: number[] = [];

  add(ms: number): void {
    this.#last.push(ms);
    if (this.#last.length > TIMES_KEPT) this.#last.shift();
  }

  /** What 95 of 100 stay below. */
  get most(): number {
    return this.#last.toSorted((a, b) => a - b)[Math.floor(this.#last.length * 0.95)] ?? 0;
  }
}
