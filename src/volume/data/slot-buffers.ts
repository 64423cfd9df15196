import { BLOB_BYTES_MAX } from "../meta/extents.ts";

/** Buffers that stay when nobody uses them. */
const FREE_MAX = 8;

/** Buffers of the size of a blob, used again: memory that is new each time costs a page fault for every 4 KiB of it. */
export class SlotBuffers {
  readonly #free: Uint8Array[] = [];

  take(): Uint8Array {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOB_BYTES_MAX);
  }

  /** Takes back what `take` gave; of other buffers it takes no notice. */
  give(buffer: Uint8Array): void {
    if (buffer.length === BLOB_BYTES_MAX && this.#free.length < FREE_MAX) this.#free.push(buffer);
  }
}
