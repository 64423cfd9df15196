import { NO_READS, summedReads, type ReadValues } from "../data/peers/read-counts.ts";
import { NOTHING_COUNTED, summed, type MountCounted } from "./mount-counts.ts";

/** What a mount process says of its work, each second. */
export interface ProcessFigures {
  readonly counted: MountCounted;
  readonly reads: ReadValues;
  readonly openFiles: number;
  readonly waiting: number;
}

/** The same of a mount, whose process may be another one by now. */
export interface MountFigures extends ProcessFigures {
  readonly restarts: number;
}

export const NO_FIGURES: ProcessFigures = { counted: NOTHING_COUNTED, reads: NO_READS, openFiles: 0, waiting: 0 };

/** What is heard of a mount process. */
interface Heard {
  readonly pid: number;
  readonly figures: ProcessFigures;
  readonly aliveMs: number;
}

/** Adds up what the processes of one mount have counted. */
export class MountMeter {
  #before: ProcessFigures = NO_FIGURES;
  #now: Heard | undefined;
  #restarts = 0;

  /** Another process serves from now on. */
  follow(process: Heard): void {
    if (this.#now !== undefined) this.#restarts++;
    this.#before = this.#summed;
    this.#now = process;
  }

  /** When the process last gave a sign of life, on the clock that does not jump. */
  get heardMs(): number {
    return this.#now?.aliveMs ?? Number.NEGATIVE_INFINITY;
  }

  /** Of the process that serves. */
  get pid(): number | undefined {
    return this.#now?.pid;
  }

  get figures(): MountFigures {
    return { ...this.#summed, restarts: this.#restarts };
  }

  get #summed(): ProcessFigures {
    const now = this.#now?.figures ?? NO_FIGURES;
    return { ...now, counted: summed(this.#before.counted, now.counted), reads: summedReads(this.#before.reads, now.reads) };
  }
}
