import { AnaxError } from "../../base/errors.ts";
import type { StoredTask } from "../pieces/types.ts";
import { linkedSignal, type LinkedSignal } from "./linked-signal.ts";
import { CONNECTION_BYTES } from "./memory/amounts.ts";
import type { SourceJob } from "./source-job.ts";
import { FIRST_LANE, SourceLanes } from "./source-lanes.ts";
import { isNeeded, nextRun, type SourceRun } from "./source-plan.ts";
import { SourceWidth } from "./source-width.ts";
import { givesRanges } from "./task-meta.ts";

/** What reads a run over a connection of its own. */
type ReadRun = (lane: number, run: SourceRun, signal: AbortSignal) => Promise<void>;

interface WideReadingParts {
  readonly job: SourceJob;
  readonly stored: StoredTask;
  readonly readRun: ReadRun;
}

const LOOK_MS = 100;
/** What one connection brings is looked at so long after it has begun; later where others, who start as well, keep this machine busy. */
const BEGIN_MS = 200;
const CROWD_BEGIN_MS = 1000;
/** Enough to see whether more bring more: then others read as well. */
const CROWD_MAX = 3;
/** Bytes a second. What limits such a reader, which sends it all on, is hardly a connection that brings more; and each further one takes memory. */
const CROWD_ENOUGH = 16 * 1024 * 1024;
/** With less left to read no further connection is made. */
const LEFT_BYTES_MIN = 32 * 1024 * 1024;

/** Made once: a fresh error for each of many small files is a cost of its own. */
const ENOUGH = new AnaxError("download.cancelled", { reason: "the source is read" });

function mayWiden({ config, share }: SourceJob, { meta, finished }: StoredTask): boolean {
  const leftBytes = (meta.pieceCount - finished.count) * meta.pieceLength;
  return config.sourceConnectionsMax > 1 && leftBytes >= LEFT_BYTES_MIN && givesRanges(meta) && !share.isPart;
}

/**
 * Further connections to a source beside the first one, for as long as more of them make it quicker. Each has pieces of its own; those of one
 * that fails are the first one's again. Where there are neighbours the scheduler hears of it, and divides the reading among them; each of them
 * has one connection then.
 */
export class WideReading implements AsyncDisposable {
  readonly #job: SourceJob;
  readonly #stored: StoredTask;
  readonly #readRun: ReadRun;
  readonly #lanes = new SourceLanes();
  /** What the link was seen to take before this reading. */
  readonly #known: number;
  #alone = true;
  #width: SourceWidth;
  readonly #running = new Map<number, { readonly scope: LinkedSignal; readonly work: Promise<void> }>();
  #timer: Disposable | undefined;
  #ended = false;

  /** Undefined: it is not worth it, or cannot be. */
  static of(parts: WideReadingParts): WideReading | undefined {
    return mayWiden(parts.job, parts.stored) ? new WideReading(parts) : undefined;
  }

  private constructor({ job, stored, readRun }: WideReadingParts) {
    this.#job = job;
    this.#stored = stored;
    this.#readRun = readRun;
    this.#known = job.limits.capacity().download;
    this.#width = this.#newWidth();
    this.#look();
  }

  #newWidth(): SourceWidth {
    const { config, clock, isAlone } = this.#job;
    this.#alone = isAlone();
    const max = config.sourceConnectionsMax;
    if (this.#alone) return new SourceWidth({ max, beginsMs: clock.nowMs() + BEGIN_MS });
    return new SourceWidth({
      max: Math.min(max, CROWD_MAX),
      beginsMs: clock.nowMs() + CROWD_BEGIN_MS,
      enough: CROWD_ENOUGH,
      known: this.#known,
    });
  }

  /** The first connection reads this run. */
  begin(run: SourceRun): void {
    this.#lanes.begin(FIRST_LANE, run);
  }

  /** Whether nobody else reads the piece, or has read it. */
  isFor(lane: number, index: number): boolean {
    return this.#lanes.isFree(lane, index) && !(this.#lanes.wasRead(index) && this.#stored.finished.has(index));
  }

  /** What the lane is to read next; it counts as its own from now on. */
  nextRun(lane: number, bytesMax: number): SourceRun | undefined {
    const { meta, finished } = this.#stored;
    const isHeld = (index: number): boolean => finished.has(index);
    const { count, requestBytes } = this.#width;
    this.#lanes.end(lane, isHeld);
    const from = lane === FIRST_LANE ? 0 : this.#lanes.startOfOthers(isHeld, Math.ceil(requestBytes / meta.pieceLength));
    const isTaken = (index: number): boolean => !isNeeded(this.#job, this.#stored, index) || !this.#lanes.isFree(lane, index);
    const run = nextRun(meta, isTaken, {
      from,
      bytesMax: lane === FIRST_LANE && count === 1 ? bytesMax : Math.min(bytesMax, requestBytes),
    });
    if (run !== undefined) this.#lanes.begin(lane, run);
    return run;
  }

  /** What the others have not read is the first connection's. */
  async stopOthers(): Promise<void> {
    this.#narrow();
    const running = [...this.#running.values()];
    for (const { scope } of running) scope.abort(ENOUGH);
    await Promise.all(running.map(({ work }) => work));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
    await this.stopOthers();
  }

  /** Once it is divided, or little is left, that is it for this reading. */
  #look(): void {
    const { clock, limits, meter } = this.#job;
    this.#timer = clock.timer(LOOK_MS, () => {
      if (this.#ended) return;
      if (!mayWiden(this.#job, this.#stored)) return this.#narrow();
      // The first of many begins to read before the others are there.
      if (this.#alone && !this.#job.isAlone() && this.#width.count === 1 && !this.#width.gaveUp) this.#width = this.#newWidth();
      // With neighbours it is tried once: it costs what is on its way when the others are given up, and tells the scheduler all that it wants to know.
      if (this.#width.gaveUp && !this.#job.isAlone()) return;
      this.#change(() => this.#width.look(clock.nowMs(), meter.bytes, limits.capacity().download));
      for (let lane = FIRST_LANE + 1; lane < this.#width.count; lane++) if (!this.#running.has(lane)) this.#start(lane);
      this.#look();
    });
  }

  #narrow(): void {
    this.#change(() => this.#width.narrow(this.#job.clock.nowMs()));
  }

  #change(change: () => void): void {
    const before = this.#width.count;
    change();
    this.#job.meter.connections = this.#width.worth;
    if (this.#width.count !== before) this.#job.onConnections(this.#width.count);
  }

  /** Without memory for it there is none, which then brings nothing. */
  #start(lane: number): void {
    const memory = this.#job.memory.tryReserve(CONNECTION_BYTES);
    if (memory === undefined) return;
    const scope = linkedSignal(this.#job.signal);
    const work = this.#runLane(lane, scope.signal).finally(() => {
      scope[Symbol.dispose]();
      memory[Symbol.dispose]();
      this.#running.delete(lane);
    });
    this.#running.set(lane, { scope, work });
  }

  /** Never rejects. */
  async #runLane(lane: number, signal: AbortSignal): Promise<void> {
    const { finished } = this.#stored;
    try {
      while (lane < this.#width.count && !signal.aborted) {
        const run = this.nextRun(lane, Infinity);
        if (run === undefined) return;
        await this.#readRun(lane, run, signal);
        if (finished.has(run.firstIndex)) continue;
        return this.#narrow(); // it was given something else, or may not read this any more
      }
    } catch {
      this.#narrow(); // the first connection reads it then, and tells what is wrong
    } finally {
      this.#lanes.end(lane, (index) => finished.has(index));
    }
  }
}
