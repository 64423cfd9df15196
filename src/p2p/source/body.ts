import type { Clock } from "../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { shownUrl } from "./failures.ts";

/** What a body is read from: of a stream of Node, what is used here. */
export interface BodyStream extends AsyncIterable<Uint8Array> {
  on(event: "error", listen: (error: Error) => void): unknown;
  /** Ends it; whoever reads gets the error, if there is one. */
  destroy(error?: Error): void;
}

export interface BodyOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Longest silence while the consumer waits; a slow consumer is not the source's fault. */
  readonly idleTimeoutMs: number;
  /** Undefined: the end of the stream is the end of the content. */
  readonly expectedBytes: number | undefined;
  readonly onBytes: (count: number) => void;
}

/**
 * The bytes of a stream, counted and checked. Throws `source.truncated` {expectedBytes, gotBytes} when the stream breaks, falls silent or
 * ends too early, the signal's reason when it aborts. Leaving the loop, or aborting, destroys the stream and frees its connection.
 */
export class BodyChunks implements AsyncIterableIterator<Uint8Array> {
  readonly #stream: BodyStream;
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #options: BodyOptions;
  #gotBytes = 0;
  #ended = false;

  constructor(stream: BodyStream, options: BodyOptions) {
    this.#stream = stream;
    this.#iterator = stream[Symbol.asyncIterator]();
    this.#options = options;
    stream.on("error", ignore); // reported by next(), which nobody may be waiting for yet
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#ended) return { done: true, value: undefined };
    const step = await this.#step();
    if (step.done === true) {
      this.#ended = true;
      if (this.#isShort()) throw this.#truncated("the source ended the body early");
      return { done: true, value: undefined };
    }
    this.#gotBytes += step.value.length;
    this.#options.onBytes(step.value.length);
    if (this.#gotBytes > (this.#options.expectedBytes ?? Infinity)) throw await this.#tooLong();
    return { done: false, value: step.value };
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#ended = true;
    this.#stream.destroy(); // not through the iterator: a generator that never ran would leave the stream open
    return { done: true, value: undefined };
  }

  async #step(): Promise<IteratorResult<Uint8Array>> {
    const { clock, idleTimeoutMs, signal } = this.#options;
    using _ = clock.timer(idleTimeoutMs, () => this.#stream.destroy(this.#truncated(`no byte for ${idleTimeoutMs} ms`)));
    try {
      return await this.#iterator.next();
    } catch (thrown) {
      this.#ended = true;
      if (signal.aborted) throw signal.reason;
      if (thrown instanceof AnaxError) throw thrown;
      throw this.#truncated(thrown instanceof Error ? thrown.message : String(thrown), thrown);
    }
  }

  #isShort(): boolean {
    return this.#gotBytes < (this.#options.expectedBytes ?? 0);
  }

  #truncated(reason: string, cause?: unknown): AnaxError {
    const { url, expectedBytes } = this.#options;
    const details = { url: shownUrl(url), expectedBytes, gotBytes: this.#gotBytes, systemCode: systemCodeOf(cause), reason };
    return new AnaxError("source.truncated", details, { cause });
  }

  async #tooLong(): Promise<AnaxError> {
    await this.return();
    const { url, expectedBytes } = this.#options;
    return new AnaxError("source.range-ignored", { url: shownUrl(url), expectedBytes, reason: "more came than announced" });
  }
}

const ignore = (): void => undefined;
