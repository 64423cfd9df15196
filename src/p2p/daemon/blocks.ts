/** Bytes that go to the disk at once: enough that the way through the thread pool is not what limits a source. */
export const BLOCK_BYTES = 1024 * 1024;

/** Blocks for so many bytes; the one more lets the end show in the same block. */
export const blockBytesFor = (bytes: number): number => Math.min(BLOCK_BYTES, bytes + 1);

interface Filled {
  readonly block: Uint8Array;
  /** Nothing comes after this block; with `error`, because the body broke. */
  readonly last: boolean;
  readonly error?: Error;
}

/**
 * Joins the small chunks of a body into blocks. One is filled while its consumer has the other, so each is valid until the second next one
 * is asked for. What came before a body broke is given first, then its error is thrown.
 */
export async function* inBlocks(chunks: AsyncIterable<Uint8Array>, blockBytes = BLOCK_BYTES): AsyncGenerator<Uint8Array> {
  const source = chunks[Symbol.asyncIterator]();
  const filler = new Filler(source);
  let spare: Uint8Array | undefined;
  let filled: Uint8Array = new Uint8Array(blockBytes);
  let filling = filler.fill(filled);
  try {
    for (;;) {
      const { block, last, error } = await filling;
      if (!last) {
        const next: Uint8Array = spare ?? new Uint8Array(blockBytes); // not before it is needed: most files are one block
        [spare, filled] = [filled, next];
        filling = filler.fill(next);
      }
      if (block.length > 0) yield block;
      if (error !== undefined) throw error;
      if (last) return;
    }
  } finally {
    await source.return?.();
  }
}

class Filler {
  readonly #source: AsyncIterator<Uint8Array>;
  #left: Uint8Array = new Uint8Array();

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source;
  }

  /** Never rejects, since nobody may be waiting when it would. */
  async fill(into: Uint8Array): Promise<Filled> {
    let length = 0;
    try {
      while (length < into.length) {
        if (this.#left.length === 0) {
          const step = await this.#source.next();
          if (step.done === true) return { block: into.subarray(0, length), last: true };
          this.#left = step.value;
        }
        const part = this.#left.subarray(0, into.length - length);
        into.set(part, length);
        length += part.length;
        this.#left = this.#left.subarray(part.length);
      }
      return { block: into, last: false };
    } catch (error) {
      return { block: into.subarray(0, length), last: true, error: error instanceof Error ? error : new Error(String(error)) };
    }
  }
}
