/** Somebody whose replies wait; places are counts of bytes that were ever appended to the journal. */
interface Held {
  /** How much has to be in the file, … */
  readonly written: number;
  /** … and on disk. */
  readonly synced: number;
  /** The last that this client has appended itself. */
  readonly own: number;
  readonly resume: () => void;
}

/** Replies that wait for the journal: first come, first released, so that those of one client stay in order. */
export class HeldReplies {
  #held: Held[] = [];

  add(held: Held): void {
    this.#held.push(held);
  }

  /** The journal is so far. */
  release(written: number, synced: number): void {
    let count = 0;
    while (count < this.#held.length && this.#held[count]!.written <= written && this.#held[count]!.synced <= synced) count++;
    if (count > 0) for (const { resume } of this.#held.splice(0, count)) resume();
  }

  /** Nothing goes on for now: whoever has appended nothing beyond these is released. */
  releaseOthers(written: number, synced: number): void {
    const waits = ({ own, synced: must }: Held): boolean => own > (must > 0 ? synced : written);
    const held = this.#held;
    this.#held = held.filter(waits);
    for (const one of held) if (!waits(one)) one.resume();
  }

  releaseAll(): void {
    this.release(Infinity, Infinity);
  }
}
