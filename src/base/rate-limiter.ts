import type { Clock } from "./clock.ts";
import { AnaxError, invariant } from "./errors.ts";
import { TokenBucket } from "./token-bucket.ts";

export interface RateLimiterOptions {
  readonly clock: Clock;
  /** Of everything together; Infinity: no limit. */
  readonly bytesPerSecond: number;
  /** Of each flow by itself; Infinity: no limit. */
  readonly flowBytesPerSecond: number;
  /** Unused time that may be made up for, and so the size of a burst. Longer than timers are late. */
  readonly burstMs: number;
  /** One for each priority class, the most important first: while all of them want more than there is, they share in this proportion. */
  readonly weights: readonly number[];
  /** Requests in line; more are refused. */
  readonly waitingMax: number;
}

/** Everything that is shared fairly with others of its class: a task. */
interface Flow {
  readonly bucket: TokenBucket;
  /** One for each class. */
  readonly lines: readonly Line[];
}

/** What one flow wants in one class, in order. */
interface Line {
  readonly flow: Flow;
  readonly waiters: Set<Waiter>;
  /** Bytes served, in the time of its class: where it would be had it wanted something all along. */
  virtual: number;
}

interface PriorityClass {
  readonly weight: number;
  readonly bucket: TokenBucket;
  /** Those in which somebody waits. */
  readonly lines: Set<Line>;
  /** Bytes served by weight, in the time of the limiter. */
  virtual: number;
  /** Time of its lines: where the last one that was served began. */
  nowVirtual: number;
  /** Where the line that is ahead of the others is. */
  lastVirtual: number;
}

interface Waiter {
  readonly bytes: number;
  readonly grant: () => void;
}

/** Timers count no further than 2³¹ − 1; who waits longer is looked at now and then. */
const ALARM_MS_MAX = 60_000;
/** Flows remembered while they have nothing to remember; looked through when there are twice as many. */
const FLOWS_MIN = 64;

/**
 * Decides who may move bytes when, so that a total, each class and each flow keep to their rates and the link is full whenever somebody may use it.
 *
 * Classes share by weight and flows of a class share equally (start-time fair queueing: whoever has had least for its weight is next). Nobody
 * starves, since what others get moves their time on, and nobody saves up: who wanted nothing starts at the present time. Ask for pieces of
 * work that are small beside the rate; one request is granted as a whole. Without any limit a request costs one comparison and no timer.
 */
export class RateLimiter {
  readonly #options: RateLimiterOptions;
  readonly #total: TokenBucket;
  readonly #classes: readonly PriorityClass[];
  readonly #flows = new Map<string, Flow>();
  #flowBytesPerSecond: number;
  #sweepAt = FLOWS_MIN;
  #limited = false;
  #virtual = 0;
  #waiting = 0;
  #alarm: (Disposable & { readonly atMs: number }) | undefined;

  constructor(options: RateLimiterOptions) {
    invariant(options.weights.length > 0 && options.weights.every((weight) => weight > 0), "a limiter has classes with positive weights");
    this.#options = options;
    this.#flowBytesPerSecond = options.flowBytesPerSecond;
    this.#total = this.#bucketOf(options.bytesPerSecond);
    this.#classes = options.weights.map((weight) => ({
      weight,
      bucket: this.#bucketOf(Infinity),
      lines: new Set<Line>(),
      virtual: 0,
      nowVirtual: 0,
      lastVirtual: 0,
    }));
    this.#changed();
  }

  /** Any limit is in force. */
  get limited(): boolean {
    return this.#limited;
  }

  /** Requests in line. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Flows that are remembered. */
  get flows(): number {
    return this.#flows.size;
  }

  get bytesPerSecond(): number {
    return this.#total.bytesPerSecond;
  }

  /** What one flow gets at most. */
  get flowBytesPerSecond(): number {
    return Math.min(this.#total.bytesPerSecond, this.#flowBytesPerSecond);
  }

  classBytesPerSecond(place: number): number {
    const chosen = this.#classes[place];
    invariant(chosen !== undefined, "no such priority class");
    return chosen.bucket.bytesPerSecond;
  }

  /** True when the bytes may be moved at once; they are accounted for then. `place` is that of the class among the weights. */
  tryTake(flow: string, place: number, bytes: number): boolean {
    if (!this.#limited) return true;
    const nowMs = this.#options.clock.nowMs();
    if (this.#waiting > 0) this.#pump(nowMs); // those who wait come first; who still waits may not pass anyway
    const line = this.#lineOf(flow, place);
    if (line.waiters.size > 0 || !this.#mayPass(this.#classes[place]!, line, nowMs)) return false; // #lineOf found the class
    if (this.#waiting === 0) this.#settle();
    this.#charge(this.#classes[place]!, line, bytes);
    return true;
  }

  /** Resolves when the bytes may be moved. Throws `limit.exceeded` when the line is full, the signal's reason when it aborts. */
  async take(flow: string, place: number, bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.tryTake(flow, place, bytes)) return;
    if (this.#waiting >= this.#options.waitingMax) throw new AnaxError("limit.exceeded", { waitingMax: this.#options.waitingMax });
    const line = this.#lineOf(flow, place);
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        line.waiters.delete(waiter);
        if (line.waiters.size === 0) this.#classes[place]!.lines.delete(line); // #lineOf found the class
        this.#waiting--;
        signal.removeEventListener("abort", onAbort);
      };
      const onAbort = (): void => {
        leave();
        reject(signal.reason as Error);
        this.#pump(this.#options.clock.nowMs()); // the alarm may have been for this one
      };
      const waiter: Waiter = { bytes, grant: () => (leave(), resolve()) };
      line.waiters.add(waiter);
      this.#classes[place]!.lines.add(line); // likewise
      this.#waiting++;
      signal.addEventListener("abort", onAbort, { once: true });
      this.#pump(this.#options.clock.nowMs());
    });
  }

  setRate(bytesPerSecond: number): void {
    this.#total.setRate(bytesPerSecond, this.#options.clock.nowMs());
    this.#changed();
  }

  /** Limits one class besides the total. */
  setClassRate(place: number, bytesPerSecond: number): void {
    const chosen = this.#classes[place];
    invariant(chosen !== undefined, "no such priority class");
    if (chosen.bucket.bytesPerSecond === bytesPerSecond) return;
    chosen.bucket.setRate(bytesPerSecond, this.#options.clock.nowMs());
    this.#changed();
  }

  setFlowRate(bytesPerSecond: number): void {
    const nowMs = this.#options.clock.nowMs();
    this.#flowBytesPerSecond = bytesPerSecond;
    for (const { bucket } of this.#flows.values()) bucket.setRate(bytesPerSecond, nowMs);
    this.#changed();
  }

  #changed(): void {
    this.#limited = this.#total.limited || this.#flowBytesPerSecond !== Infinity || this.#classes.some(({ bucket }) => bucket.limited);
    if (!this.#limited) this.#flows.forEach((flow, name) => void (isIdle(flow) && this.#flows.delete(name)));
    this.#pump(this.#options.clock.nowMs());
  }

  #bucketOf(bytesPerSecond: number): TokenBucket {
    return new TokenBucket({ bytesPerSecond, burstMs: this.#options.burstMs, nowMs: this.#options.clock.nowMs() });
  }

  #mayPass(of: PriorityClass, line: Line, nowMs: number): boolean {
    return this.#total.open(nowMs) && of.bucket.open(nowMs) && line.flow.bucket.open(nowMs);
  }

  #charge(of: PriorityClass, line: Line, bytes: number): void {
    for (const bucket of [this.#total, of.bucket, line.flow.bucket]) bucket.spend(bytes);
    this.#virtual = Math.max(this.#virtual, of.virtual);
    of.virtual = this.#virtual + bytes / of.weight;
    of.nowVirtual = Math.max(of.nowVirtual, line.virtual);
    line.virtual = of.nowVirtual + bytes;
    of.lastVirtual = Math.max(of.lastVirtual, line.virtual);
  }

  /** There was enough for all: what each had by then is forgotten. */
  #settle(): void {
    for (const each of this.#classes) {
      this.#virtual = Math.max(this.#virtual, each.virtual);
      each.nowVirtual = each.lastVirtual;
    }
  }

  /** Lets pass whoever may, and sets the alarm for the next one. */
  #pump(nowMs: number): void {
    while (this.#waiting > 0) {
      const next = this.#next(nowMs);
      if (next === undefined) break;
      const [waiter] = next.line.waiters;
      this.#charge(next.of, next.line, waiter!.bytes); // a line among those of a class has somebody waiting
      waiter!.grant();
    }
    this.#arm(nowMs);
  }

  /** The line with the least service among those that may pass; of equals the more important class, and there who came first. */
  #next(nowMs: number): { readonly of: PriorityClass; readonly line: Line } | undefined {
    if (!this.#total.open(nowMs)) return undefined;
    let best: { readonly of: PriorityClass; readonly line: Line; readonly virtual: number } | undefined;
    for (const of of this.#classes) {
      const virtual = Math.max(of.virtual, this.#virtual);
      if (of.lines.size === 0 || (best !== undefined && best.virtual <= virtual) || !of.bucket.open(nowMs)) continue;
      const line = leastServed(of, nowMs);
      if (line !== undefined) best = { of, line, virtual };
    }
    return best;
  }

  #arm(nowMs: number): void {
    if (this.#waiting === 0) return this.#disarm();
    const waitMs = Math.max(this.#total.readyMs(nowMs), this.#total.open(nowMs) ? this.#soonestMs(nowMs) : 0);
    const atMs = nowMs + Math.min(ALARM_MS_MAX, Math.max(1, Math.ceil(waitMs))); // timers are no finer than 1 ms
    if (this.#alarm?.atMs === atMs) return;
    this.#disarm();
    const timer = this.#options.clock.timer(atMs - nowMs, () => {
      this.#alarm = undefined;
      this.#pump(this.#options.clock.nowMs());
    });
    this.#alarm = { atMs, [Symbol.dispose]: () => timer[Symbol.dispose]() };
  }

  /** When the first of those in line that its own limits hold back may pass. */
  #soonestMs(nowMs: number): number {
    let soonest = Infinity;
    for (const { bucket, lines } of this.#classes) {
      for (const line of lines) soonest = Math.min(soonest, Math.max(bucket.readyMs(nowMs), line.flow.bucket.readyMs(nowMs)));
    }
    return soonest;
  }

  #disarm(): void {
    this.#alarm?.[Symbol.dispose]();
    this.#alarm = undefined;
  }

  #lineOf(name: string, place: number): Line {
    const line = (this.#flows.get(name) ?? this.#remember(name)).lines[place];
    invariant(line !== undefined, "no such priority class");
    return line;
  }

  /** Flows are named by others, so those that owe and want nothing are forgotten before there are too many. */
  #remember(name: string): Flow {
    if (this.#flows.size >= this.#sweepAt) {
      const nowMs = this.#options.clock.nowMs();
      for (const [other, flow] of this.#flows) if (isIdle(flow) && flow.bucket.full(nowMs)) this.#flows.delete(other);
      this.#sweepAt = Math.max(FLOWS_MIN, 2 * this.#flows.size);
    }
    const lines: Line[] = [];
    const flow: Flow = { bucket: this.#bucketOf(this.#flowBytesPerSecond), lines };
    for (let i = 0; i < this.#classes.length; i++) lines.push({ flow, waiters: new Set(), virtual: 0 });
    this.#flows.set(name, flow);
    return flow;
  }
}

function leastServed(of: PriorityClass, nowMs: number): Line | undefined {
  let best: Line | undefined;
  for (const line of of.lines) {
    if (best !== undefined && Math.max(best.virtual, of.nowVirtual) <= Math.max(line.virtual, of.nowVirtual)) continue;
    if (line.flow.bucket.open(nowMs)) best = line;
  }
  return best;
}

const isIdle = (flow: Flow): boolean => flow.lines.every((line) => line.waiters.size === 0);
