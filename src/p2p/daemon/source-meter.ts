import type { Clock } from "../../base/clock.ts";
import type { SourceReading } from "../model/types.ts";

/** Counts what a download reads of its source, from the first byte on, over whatever connections. */
export class SourceMeter {
  readonly #clock: Pick<Clock, "nowMs">;
  #bytes = 0;
  #sinceMs: number | undefined;
  /** How many are known to be worth it. */
  connections = 1;

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Undefined before the first byte. */
  get reading(): SourceReading | undefined {
    if (this.#sinceMs === undefined) return undefined;
    return { bytes: this.#bytes, elapsedMs: this.#clock.nowMs() - this.#sinceMs, connections: this.connections };
  }

  async *count(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.#sinceMs ??= this.#clock.nowMs();
      this.#bytes += chunk.length;
      yield chunk;
    }
  }
}
