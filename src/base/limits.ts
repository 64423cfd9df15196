import { AnaxError, invariant } from "./errors.ts";

interface Waiter {
  readonly grant: () => void;
  readonly refuse: (reason: unknown) => void;
}

/** At most `slots` holders at a time and `waitingMax` in line, first come first served. */
export class Semaphore {
  #free: number;
  readonly #slots: number;
  readonly #waitingMax: number;
  readonly #waiting = new Set<Waiter>();

  constructor(options: { readonly slots: number; readonly waitingMax: number }) {
    invariant(options.slots > 0, "a semaphore has at least one slot");
    this.#slots = options.slots;
    this.#free = options.slots;
    this.#waitingMax = options.waitingMax;
  }

  get inFlight(): number {
    return this.#slots - this.#free;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** A slot at once, or undefined when there is none. */
  tryAcquire(): Disposable | undefined {
    if (this.#free === 0) return undefined;
    this.#free--;
    return this.#lease();
  }

  /** A slot as soon as one is free. Throws `limit.exceeded` when the line is full, the signal's reason when it aborts. */
  async acquire(signal?: AbortSignal): Promise<Disposable> {
    signal?.throwIfAborted();
    const now = this.tryAcquire();
    if (now !== undefined) return now;
    if (this.#waiting.size >= this.#waitingMax) throw new AnaxError("limit.exceeded", { waitingMax: this.#waitingMax });
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => waiter.refuse(signal?.reason);
      const leave = (): void => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter = {
        grant: () => (leave(), resolve()),
        refuse: (reason) => (leave(), reject(reason)),
      };
      this.#waiting.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
    return this.#lease();
  }

  #lease(): Disposable {
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        const [next] = this.#waiting;
        if (next === undefined) this.#free++;
        else next.grant(); // the slot passes on without becoming free, so nobody can jump the line
      },
    };
  }
}
