import { invariant } from "./errors.ts";
import { Semaphore } from "./limits.ts";

/** A buffer on loan. Dispose it once nothing reads or writes it any more; the bytes are not cleared. */
export interface PooledBuffer extends Disposable {
  readonly bytes: Buffer;
}

/** A fixed number of equal buffers, made when first needed and used again for ever: the memory of a data path has one known bound. */
export class BufferPool {
  readonly bufferBytes: number;
  readonly #slots: Semaphore;
  readonly #idle: Buffer[] = [];

  constructor(options: { readonly bufferBytes: number; readonly count: number; readonly waitingMax: number }) {
    invariant(options.bufferBytes > 0, "a pool's buffers have at least one byte");
    this.bufferBytes = options.bufferBytes;
    this.#slots = new Semaphore({ slots: options.count, waitingMax: options.waitingMax });
  }

  /** Buffers on loan. */
  get inUse(): number {
    return this.#slots.inFlight;
  }

  /** How many stand in line. A holder between two pieces of work gives way when this is not 0. */
  get waiting(): number {
    return this.#slots.waiting;
  }

  /** A buffer at once, or undefined when all are on loan. */
  tryTake(): PooledBuffer | undefined {
    const slot = this.#slots.tryAcquire();
    return slot === undefined ? undefined : this.#lend(slot);
  }

  /** A buffer as soon as one is free, first come first served. Throws `limit.exceeded` when the line is full, the signal's reason when it aborts. */
  async take(signal: AbortSignal): Promise<PooledBuffer> {
    return this.#lend(await this.#slots.acquire(signal));
  }

  #lend(slot: Disposable): PooledBuffer {
    // allocUnsafeSlow: outside of Node's shared slab, so that a buffer that lives for ever pins nothing else.
    const bytes = this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.bufferBytes);
    let lent = true;
    return {
      bytes,
      [Symbol.dispose]: () => {
        if (!lent) return;
        lent = false;
        this.#idle.push(bytes); // before the slot passes on, so that its next holder finds it
        slot[Symbol.dispose]();
      },
    };
  }
}
