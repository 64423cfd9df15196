/** Bytes of one chunk of a stream: large enough that calls cost little, small enough that many streams fit in memory. */
export const CHUNK_BYTES = 256 * 1024;
/** Buffers kept for the next stream; more than these are left to the garbage collector. */
const IDLE_MAX = 32;

/** Reused buffers for reading; their number in use is bounded by the readers, two each. */
export class ReadBuffers {
  readonly #idle: Buffer[] = [];

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
  }

  give(buffer: Buffer): void {
    if (this.#idle.length < IDLE_MAX) this.#idle.push(buffer);
  }
}
