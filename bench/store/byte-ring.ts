/** Bytes a ring has room for; a power of two. */
export const RING_BYTES = 1 << 20;

/** What two threads share. */
export interface RingMemory {
  readonly bytes: SharedArrayBuffer;
  readonly written: SharedArrayBuffer;
}

export const ringMemory = (): RingMemory => ({ bytes: new SharedArrayBuffer(RING_BYTES), written: new SharedArrayBuffer(4) });

/** Bytes from one thread to another. Whoever writes never has more under way than the ring holds. */
export class ByteRing {
  readonly #bytes: Uint8Array;
  readonly #written: Int32Array<SharedArrayBuffer>;
  #at = 0;

  constructor({ bytes, written }: RingMemory) {
    this.#bytes = new Uint8Array(bytes);
    this.#written = new Int32Array(written);
  }

  /** Seen by the other thread from `publish` on. */
  write(source: Uint8Array): void {
    const at = this.#at & (RING_BYTES - 1);
    const first = Math.min(source.length, RING_BYTES - at);
    this.#bytes.set(source.subarray(0, first), at);
    if (first < source.length) this.#bytes.set(source.subarray(first), 0);
    this.#at = (this.#at + source.length) | 0;
  }

  publish(): void {
    Atomics.store(this.#written, 0, this.#at);
    Atomics.notify(this.#written, 0, 1);
  }

  /** Waits, with the loop free, until there are bytes; takes all of them and returns how many. */
  async take(target: Uint8Array): Promise<number> {
    let length = 0;
    while ((length = (Atomics.load(this.#written, 0) - this.#at) | 0) === 0) {
      const waiting = Atomics.waitAsync(this.#written, 0, this.#at);
      if (waiting.async) await waiting.value;
    }
    const at = this.#at & (RING_BYTES - 1);
    const first = Math.min(length, RING_BYTES - at);
    target.set(this.#bytes.subarray(at, at + first), 0);
    if (first < length) target.set(this.#bytes.subarray(0, length - first), first);
    this.#at = (this.#at + length) | 0;
    return length;
  }
}
