import type { Clock } from "../../../base/clock.ts";
import { RateLimiter } from "../../../base/rate-limiter.ts";
import { RateMeter } from "../../../base/rate-meter.ts";
import type { TaskId } from "../../model/ids.ts";
import { HALF_LIFE_MS, makeRoom, UNKNOWN_LINK, type LinkState } from "./make-room.ts";
import { RATE_CLASSES, type RateClass } from "./types.ts";

export interface DirectionOptions {
  readonly clock: Clock;
  /** Infinity: none. */
  readonly bytesPerSecond: number;
  readonly taskBytesPerSecond: number;
  readonly weights: Readonly<Record<RateClass, number>>;
  readonly burstMs: number;
  readonly onWait: () => void;
}

/** Far more than transfers at once, each of which waits for one turn at a time. */
const WAITING_MAX = 65_536;
/** How fast a measured rate follows. */
const WINDOW_MS = 3000;
/** Tasks whose rate is known by itself; further ones count in the sum only. */
const TASKS_MAX = 1024;
/** Bytes per second below which a task is quiet and its rate forgotten. */
const QUIET = 1;
/** Bytes per second: less is what messages and other programs make, and says nothing of a link. Peers on this machine, or behind another interface, are not seen. */
const SEEN_MIN = 1024 * 1024;
/** Of shorter moments a late clock makes too much. */
const GLIMPSE_MIN_MS = 150;
/** A turn is what passes in this time at the limit, within these bounds: short enough that many share smoothly, long enough to be cheap. */
const TURN_MS = 20;
const TURN_BYTES_MIN = 16 * 1024;
const TURN_BYTES_MAX = 256 * 1024;

const PLACES = Object.fromEntries(RATE_CLASSES.map((name, place) => [name, place])) as Readonly<Record<RateClass, number>>; // of all of them

/** Limits and measures what moves one way. */
export class Direction {
  readonly limiter: RateLimiter;
  readonly #options: DirectionOptions;
  readonly #meter: RateMeter;
  readonly #tasks = new Map<TaskId, RateMeter>();
  #backgroundBytes = 0;
  #link: LinkState = UNKNOWN_LINK;
  /** Bytes per second in the best moment, fading as what is known of the link does. */
  #atBest = 0;

  constructor(options: DirectionOptions) {
    this.#options = options;
    this.#meter = this.#newMeter();
    this.limiter = new RateLimiter({
      clock: options.clock,
      bytesPerSecond: options.bytesPerSecond,
      flowBytesPerSecond: options.taskBytesPerSecond,
      burstMs: options.burstMs,
      weights: RATE_CLASSES.map((name) => options.weights[name]),
      waitingMax: WAITING_MAX,
    });
  }

  tryTake(task: TaskId, priority: RateClass, bytes: number): boolean {
    if (!this.limiter.tryTake(task, PLACES[priority], bytes)) return false;
    this.#count(task, priority, bytes);
    return true;
  }

  async take(task: TaskId, priority: RateClass, bytes: number, signal: AbortSignal): Promise<void> {
    if (this.tryTake(task, priority, bytes)) return;
    this.#options.onWait();
    await this.limiter.take(task, PLACES[priority], bytes, signal);
    this.#count(task, priority, bytes);
  }

  get turnBytes(): number {
    if (!this.limiter.limited) return Infinity;
    const bytes = (Math.min(this.limiter.flowBytesPerSecond, 1e12) * TURN_MS) / 1000;
    return Math.min(TURN_BYTES_MAX, Math.max(TURN_BYTES_MIN, Math.floor(bytes)));
  }

  perSecond(): number {
    return Math.round(this.#meter.perSecond(this.#options.clock.nowMs()));
  }

  /** Undefined for a task that moved nothing lately. */
  taskPerSecond(task: TaskId): number | undefined {
    const meter = this.#tasks.get(task);
    return meter === undefined ? undefined : Math.round(meter.perSecond(this.#options.clock.nowMs()));
  }

  /** What one can count on to pass: the limit, or else what the link is known to carry; 0 while neither is known. */
  get capacity(): number {
    const seen = Math.max(this.#link.capacity, this.#atBest);
    const known = seen < SEEN_MIN ? Infinity : seen;
    const most = Math.min(known, this.limiter.bytesPerSecond);
    return most === Infinity ? 0 : Math.round(most);
  }

  /** Enough of ours to be worth a closer look. */
  get isMoving(): boolean {
    return this.#meter.perSecond(this.#options.clock.nowMs()) >= SEEN_MIN;
  }

  get link(): LinkState {
    return this.#link;
  }

  /** Of background traffic by itself; Infinity while it need not make room. */
  get backgroundBytesPerSecond(): number {
    return this.limiter.classBytesPerSecond(PLACES.background);
  }

  /** Moves the measured rates on, and forgets those of tasks that are quiet; to be called about once a second. */
  tick(): void {
    const nowMs = this.#options.clock.nowMs();
    this.#meter.perSecond(nowMs);
    for (const [task, meter] of this.#tasks) if (meter.perSecond(nowMs) < QUIET) this.#tasks.delete(task);
  }

  /** Takes note of what passed the link in a moment of a fifth of a second or so. A shorter one would show what was queued, not what the link takes. */
  glimpse({ elapsedMs, linkBytes }: { readonly elapsedMs: number; readonly linkBytes: number }): void {
    if (elapsedMs >= GLIMPSE_MIN_MS) this.#atBest = Math.max(this.#atBest, (linkBytes * 1000) / elapsedMs);
  }

  /** Takes note, about once a second, of what passed the link; when asked, has background traffic make room for what is not ours. */
  sample(
    sample: { readonly elapsedMs: number; readonly linkBytes: number },
    options: { readonly known: number | undefined; readonly adapt: boolean },
  ): void {
    this.#link = makeRoom(this.#link, { ...sample, backgroundBytes: this.#backgroundBytes }, options.known);
    this.#atBest *= 0.5 ** (sample.elapsedMs / HALF_LIFE_MS);
    this.#backgroundBytes = 0;
    if (options.adapt) this.limiter.setClassRate(PLACES.background, this.#link.allowance);
  }

  #count(task: TaskId, priority: RateClass, bytes: number): void {
    this.#meter.add(bytes);
    if (priority === "background") this.#backgroundBytes += bytes;
    const meter = this.#tasks.get(task);
    if (meter !== undefined) return meter.add(bytes);
    if (this.#tasks.size >= TASKS_MAX) return;
    const fresh = this.#newMeter();
    this.#tasks.set(task, fresh);
    fresh.add(bytes);
  }

  #newMeter(): RateMeter {
    return new RateMeter({ windowMs: WINDOW_MS, nowMs: this.#options.clock.nowMs() });
  }
}
