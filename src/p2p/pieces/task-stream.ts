import { AnaxError } from "../../base/errors.ts";
import { piecesOfRange } from "../model/piece.ts";
import type { ByteRange, TaskMeta } from "../model/types.ts";
import { CHUNK_BYTES, type ReadBuffers } from "./read-buffers.ts";

/** What a stream needs of its task. */
export interface StreamTask {
  readonly meta: TaskMeta;
  readonly verified: boolean;
  has(index: number): boolean;
  /** Resolves when the piece is held, or all is verified; rejects with failures from now on. */
  wait(key: number | "verified", signal: AbortSignal): Promise<void>;
  readAt(into: Uint8Array, positionBytes: number): Promise<void>;
  /** How often the task has failed, to notice a failure while nothing waits. */
  readonly failures: number;
  readonly lastFailure: Error | undefined;
}

/**
 * The bytes of a range in order, one chunk read ahead. A chunk's memory is used again once the next is asked for. Content with a
 * digest keeps its last piece back until the digest agrees, so that nobody takes damaged content for complete.
 */
export async function* streamOf(
  task: StreamTask,
  range: ByteRange,
  options: { readonly buffers: ReadBuffers; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const { buffers, signal: outer } = options;
  const endBytes = range.start + range.length;
  const small = range.length < CHUNK_BYTES;
  const take = (): Buffer => (small ? Buffer.allocUnsafe(range.length) : buffers.take());
  const pair = [take(), take()] as const;
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(outer.reason);
  if (outer.aborted) onAbort();
  else outer.addEventListener("abort", onAbort, { once: true });
  const reader = new Reader(task, range, stop.signal);
  let next: Promise<Uint8Array> | undefined;
  try {
    next = reader.chunk(range.start, pair[0]);
    for (let at = range.start, turn = 1; next !== undefined; turn++) {
      const chunk: Uint8Array = await next;
      at += chunk.length;
      next = at < endBytes ? reader.chunk(at, pair[turn % 2 === 0 ? 0 : 1]) : undefined;
      next?.catch(() => undefined); // it is awaited once the consumer comes back
      yield chunk;
    }
  } finally {
    outer.removeEventListener("abort", onAbort);
    stop.abort(new AnaxError("download.cancelled", { reason: "the stream was closed" }));
    await next?.catch(() => undefined); // the disk may still be filling its buffer
    if (!small) for (const buffer of pair) buffers.give(buffer);
  }
}

class Reader {
  readonly #task: StreamTask;
  readonly #signal: AbortSignal;
  readonly #endBytes: number;
  readonly #failuresBefore: number;
  /** From here on the bytes wait for the digest. */
  readonly #heldBackFromBytes: number;

  constructor(task: StreamTask, range: ByteRange, signal: AbortSignal) {
    this.#task = task;
    this.#signal = signal;
    this.#endBytes = range.start + range.length;
    this.#failuresBefore = task.failures;
    const { first, count } = piecesOfRange(task.meta, range);
    this.#heldBackFromBytes = task.meta.digest === undefined ? Infinity : (first + count - 1) * task.meta.pieceLength;
  }

  /** Bytes from `at` on, as many as are there and fit, at least one. */
  async chunk(at: number, buffer: Buffer): Promise<Uint8Array> {
    await this.#ready(at);
    const bytes = buffer.subarray(0, Math.min(buffer.length, this.#readableUntil(at) - at));
    await this.#task.readAt(bytes, at);
    this.#signal.throwIfAborted();
    return bytes;
  }

  async #ready(at: number): Promise<void> {
    const index = Math.floor(at / this.#task.meta.pieceLength);
    for (;;) {
      this.#signal.throwIfAborted();
      const wanted = this.#task.has(index) ? (this.#mayPass(at) ? undefined : "verified") : index;
      if (wanted === undefined) return;
      if (this.#task.failures > this.#failuresBefore) throw this.#task.lastFailure!; // set with the count
      await this.#task.wait(wanted, this.#signal);
    }
  }

  #mayPass(at: number): boolean {
    return at < this.#heldBackFromBytes || this.#task.verified;
  }

  /** The end of the run of held pieces that `at` lies in, within the range and a chunk. */
  #readableUntil(at: number): number {
    const { pieceLength } = this.#task.meta;
    const limit = Math.min(this.#endBytes, at + CHUNK_BYTES);
    let until = at;
    while (until < limit && this.#task.has(Math.floor(until / pieceLength)) && this.#mayPass(until)) {
      until = (Math.floor(until / pieceLength) + 1) * pieceLength;
    }
    return Math.min(until, limit);
  }
}
