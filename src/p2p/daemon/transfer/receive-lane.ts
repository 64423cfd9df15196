import type { PooledBuffer } from "../../../base/buffer-pool.ts";

/**
 * The two halves of one pooled buffer: a socket fills one while a writer empties the other. Whoever fills too fast is
 * told to wait, which is all the back-pressure there is.
 */
export class ReceiveLane {
  readonly #buffer: PooledBuffer;
  readonly #halfBytes: number;
  readonly #busy = [false, false];
  #active: 0 | 1 = 0;
  #filled = 0;
  #retired = false;

  constructor(buffer: PooledBuffer) {
    this.#buffer = buffer;
    this.#halfBytes = buffer.bytes.length >> 1;
  }

  /** Where the next bytes go, at most `bytesMax`; undefined while both halves are taken. Never empty. */
  room(bytesMax: number): Buffer | undefined {
    if (this.#busy[this.#active]) return undefined;
    const from = this.#active * this.#halfBytes + this.#filled;
    return this.#buffer.bytes.subarray(from, from + Math.min(bytesMax, this.#halfBytes - this.#filled));
  }

  /** So many bytes were put into the room. */
  took(bytes: number): void {
    this.#filled += bytes;
  }

  get full(): boolean {
    return this.#filled === this.#halfBytes;
  }

  get empty(): boolean {
    return this.#filled === 0;
  }

  /** Hands out what is in the active half, which stays taken until released, and turns to the other one. */
  take(): { readonly bytes: Buffer; readonly release: () => void } {
    const half = this.#active;
    const from = half * this.#halfBytes;
    const bytes = this.#buffer.bytes.subarray(from, from + this.#filled);
    this.#busy[half] = true;
    this.#active = half === 0 ? 1 : 0;
    this.#filled = 0;
    return { bytes, release: () => this.#release(half) };
  }

  /** Gives the buffer back as soon as nobody uses it; nothing may be put into it any more. */
  retire(): void {
    this.#retired = true;
    if (!this.#busy.includes(true)) this.#buffer[Symbol.dispose]();
  }

  #release(half: 0 | 1): void {
    this.#busy[half] = false;
    if (this.#retired) this.retire();
  }
}
