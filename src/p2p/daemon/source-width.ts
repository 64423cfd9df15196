/** What connections that have just begun bring is not looked at for so long. */
const SETTLE_MS = 200;
/** A rate is taken over so long, and so many bytes, at least; over so long at most. */
const WINDOW_MS = 400;
const WINDOW_BYTES = 1024 * 1024;
const WINDOW_MAX_MS = 8000;
/** After a longer pause between two looks this machine was busy with something else, and what came meanwhile says nothing of connections. */
const LATE_MS = 160;
/** So many are tried first, then the most. */
const FIRST_TRY = 3;
/** More connections are kept when they bring this many times as much. */
const GAIN = 1.5;
/** A link that is used to this share is not worth more connections. */
const FULL = 0.8;
/** After those that brought nothing it is tried again; later each time. */
const PAUSE_MS = 10_000;
const PAUSE_GROWTH = 3;
/** A request is for what its connection brings in so long, within limits. */
const REQUEST_MS = 500;
const REQUEST_BYTES_MIN = 2 * 1024 * 1024;
const REQUEST_BYTES_MAX = 32 * 1024 * 1024;

/**
 * Over how many connections a source is read: more for as long as that makes it quicker. One is enough where the link or the source is what
 * limits, and not where packets are lost, the way is long, or the source limits each connection. Times are milliseconds, rates bytes a second.
 */
export class SourceWidth {
  readonly #max: number;
  readonly #enough: number;
  readonly #known: number;
  /** What was read by the number that is known to be worth it; 0: not known. */
  #kept = { count: 1, rate: 0 };
  #count = 1;
  #settledMs: number;
  #since: { readonly ms: number; readonly bytes: number } | undefined;
  #restsUntilMs = 0;
  #lookedMs = -Infinity;
  #pauseMs = PAUSE_MS;

  /**
   * `beginsMs`: what the first connection brings is looked at then, once it is going. No more are tried where that is `enough`, or all of a link that
   * was seen to take so much before, which is `known`: others that push onto a full link make packets drop, and when they are given up the first
   * takes a second to be as quick again (with 40 ms of round trip, eight hosts waited for half a second).
   */
  constructor(options: { readonly max: number; readonly beginsMs: number; readonly enough?: number; readonly known?: number }) {
    this.#max = options.max;
    this.#settledMs = options.beginsMs;
    this.#enough = options.enough ?? Infinity;
    this.#known = options.known ?? 0;
  }

  get count(): number {
    return this.#count;
  }

  /** More than one brought nothing, for now. */
  get gaveUp(): boolean {
    return this.#count === 1 && this.#restsUntilMs > 0;
  }

  /** How many are known to bring more than fewer. */
  get worth(): number {
    return this.#kept.count;
  }

  /** What one connection of several asks for at once. */
  get requestBytes(): number {
    const bytes = ((this.#kept.rate / this.#kept.count) * REQUEST_MS) / 1000;
    return Math.max(REQUEST_BYTES_MIN, Math.min(REQUEST_BYTES_MAX, bytes));
  }

  /** `bytes`: what has been read in all; `link`: the rate that this host's link was seen to take, 0 where that is not known. */
  look(nowMs: number, bytes: number, link: number): void {
    const isLate = nowMs - this.#lookedMs > LATE_MS;
    this.#lookedMs = nowMs;
    if (nowMs < this.#settledMs) return;
    if (isLate) this.#since = undefined;
    this.#since ??= { ms: nowMs, bytes };
    const [ms, read] = [nowMs - this.#since.ms, bytes - this.#since.bytes];
    if (ms < WINDOW_MS || (read < WINDOW_BYTES && ms < WINDOW_MAX_MS)) return;
    this.#since = undefined;
    this.#judge(nowMs, (read * 1000) / ms, link);
  }

  /** More than one cannot be had. */
  narrow(nowMs: number): void {
    if (this.#count === 1) return;
    this.#kept = { count: 1, rate: this.#kept.rate };
    this.#rest(nowMs);
  }

  #judge(nowMs: number, rate: number, link: number): void {
    if (this.#count > this.#kept.count && rate < this.#kept.rate * GAIN) return this.#rest(nowMs);
    this.#kept = { count: this.#count, rate };
    // At first nobody knows: a link may have been seen to take no more than one connection brought.
    const isFirst = this.#count === 1 && this.#restsUntilMs === 0;
    const isFull = !isFirst && rate >= link * FULL && link > 0;
    if (rate === 0 || rate >= this.#enough || this.#fillsKnown(rate) || isFull || this.#count >= this.#max || nowMs < this.#restsUntilMs)
      return;
    this.#set(this.#count === 1 ? Math.min(this.#max, FIRST_TRY) : this.#max, nowMs);
  }

  /** Much more than was known says that nothing was. */
  #fillsKnown(rate: number): boolean {
    return this.#count === 1 && rate >= this.#known * FULL && rate * FULL <= this.#known;
  }

  #rest(nowMs: number): void {
    this.#restsUntilMs = nowMs + this.#pauseMs;
    this.#pauseMs *= PAUSE_GROWTH;
    this.#set(this.#kept.count, nowMs);
  }

  #set(count: number, nowMs: number): void {
    this.#count = count;
    this.#settledMs = nowMs + SETTLE_MS;
    this.#since = undefined;
  }
}
