import type { LinkRates } from "../rates/types.ts";

/** Never less or more than the first limit by this factor. */
const RANGE = 4;
/** Looked at as often as the link is measured. */
const LOOK_MS = 1000;
/** For so many looks one slot more is tried; as long as the uplink is found to take more than was seen on it, twice as many more each time. */
const PROBE_LOOKS = 2;
/** Looks between two such trials, at first and after many that found nothing. */
const PAUSE_FIRST = 2;
const PAUSE_MAX = 64;

/**
 * How many pieces a host sends at once: of those that it receives at once, as many as its uplink is quicker than its downlink. A quick uplink
 * that sends no more pieces than others is never full; a slow one that sends as many keeps everybody waiting who gets one (simulated with
 * uplinks of 1/2, 1/2, 1 and 2: 1.08 to 1.16 times the bound, 1.29 to 1.55 with eight slots each). What the uplink takes is the most that was seen
 * on it, so now and then more is tried for a moment. Not always: two slots more than pieces are fetched make a hundred equal hosts 15 % slower.
 * Pure: time comes in.
 */
export class SlotLimit {
  readonly #first: number;
  /** Without those that are tried. */
  #base: number;
  #tried = 0;
  #probeLooks = 0;
  #step = 1;
  #pause = PAUSE_FIRST;
  #untilProbe = PAUSE_FIRST;
  #lookedMs = -Infinity;
  #refused = false;

  constructor(first: number) {
    this.#first = first;
    this.#base = first;
  }

  get now(): number {
    return this.#base + this.#tried;
  }

  /** Somebody wanted a slot and got none. */
  refused(): void {
    this.#refused = true;
  }

  /** May be called as often as one likes. */
  look(nowMs: number, link: LinkRates): void {
    if (nowMs - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = nowMs;
    // Where slots were free, the link may take more than was seen: nobody wanted it.
    const isFull = this.#refused;
    this.#refused = false;
    if (link.upload === 0 || link.download === 0) this.#tried = 0;
    else if (this.#tried > 0) this.#try(link);
    else if (isFull) this.#follow(link);
  }

  /** In steps of one: what was seen of a link that is not busy for long says little. */
  #follow(link: LinkRates): void {
    this.#base += Math.sign(this.#wantedOf(link) - this.#base);
    if (--this.#untilProbe > 0) return;
    this.#tried = this.#within(this.#base + this.#step) - this.#base;
    this.#probeLooks = PROBE_LOOKS;
  }

  #try(link: LinkRates): void {
    if (--this.#probeLooks > 0) return;
    const found = Math.min(this.#wantedOf(link), this.now);
    const isMore = found > this.#base;
    this.#step = isMore ? this.#step * 2 : 1;
    this.#pause = isMore ? 1 : Math.min(PAUSE_MAX, this.#pause * 2);
    this.#untilProbe = this.#pause;
    this.#base = Math.max(this.#base, found);
    this.#tried = 0;
  }

  #wantedOf({ upload, download }: LinkRates): number {
    return this.#within(Math.round((this.#first * upload) / download));
  }

  #within(slots: number): number {
    return Math.max(Math.ceil(this.#first / RANGE), Math.min(this.#first * RANGE, slots));
  }
}
