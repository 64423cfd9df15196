/** One who has something to send. */
export interface Sender {
  /** Nothing happens where it has nothing, or is closed. */
  flush(): void;
}

/**
 * Whoever has something to send, until the end of the turn of the event loop: so the kernel wakes the other sides one after the other, and mostly finds them
 * awake already.
 */
export class Outbox {
  readonly #waiting: Sender[] = [];
  /** Somebody will flush. */
  #expected = false;

  /** To be called once for each flush of a sender. */
  add(sender: Sender): void {
    this.#waiting.push(sender);
    if (this.#expected) return;
    this.#expected = true;
    queueMicrotask(() => this.flush());
  }

  /** From now on the caller will flush. */
  expect(): void {
    this.#expected = true;
  }

  flush(): void {
    this.#expected = true; // those that are added meanwhile come last
    for (let i = 0; i < this.#waiting.length; i++) this.#waiting[i]!.flush();
    this.#waiting.length = 0;
    this.#expected = false;
  }
}
