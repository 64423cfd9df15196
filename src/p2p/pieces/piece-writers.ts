import { invariant } from "../../base/errors.ts";
import type { ByteRange } from "../model/types.ts";
import { Writer, type WriterOptions, type WriterTask } from "./piece-writer.ts";
import type { PieceWriter } from "./types.ts";

/**
 * Those who write one piece. The first writes into the content file. Others write to a spool file of their own until one turns
 * out to be the first to finish: two writers at the same offsets could leave a mix of both in the file though each saw its
 * own checksum agree.
 */
export class PieceWriters {
  readonly task: WriterTask;
  readonly range: ByteRange;
  readonly #onIdle: () => void;
  readonly #writers = new Set<Writer>();
  /** The one that writes into the content file; it stays here until none of its writes is under way. */
  #direct: Writer | undefined;
  /** The move of a complete spooled piece into the content file. */
  #moving: Promise<void> | undefined;

  constructor(options: { readonly task: WriterTask; readonly range: ByteRange; readonly onIdle: () => void }) {
    this.task = options.task;
    this.range = options.range;
    this.#onIdle = options.onIdle;
  }

  add(options: WriterOptions): PieceWriter {
    const direct = this.#direct === undefined && this.#moving === undefined;
    const place = this.task.has(options.index) ? "nowhere" : direct ? "content" : "spool";
    const writer = new Writer({ group: this, place, ...options });
    if (place === "content") this.#direct = writer;
    this.#writers.add(writer);
    return writer;
  }

  left(writer: Writer): void {
    if (this.#direct === writer) this.#direct = undefined;
    if (this.#writers.delete(writer) && this.#writers.size === 0) this.#onIdle();
  }

  /** The content file was replaced: what the writers wrote so far is gone. */
  dropAll(): void {
    for (const writer of this.#writers) writer.displace();
  }

  /** Settles with the move that is under way, if any. Throws why it failed. */
  async moved(): Promise<void> {
    await this.#moving;
  }

  /** Runs `copy`, which puts a complete piece into the content file, alone; not at all when the piece is held by then. */
  async move(index: number, copy: () => Promise<void>): Promise<void> {
    while (this.#moving !== undefined) await this.#moving.catch(() => undefined); // its own writer reports the failure
    if (this.task.has(index)) return;
    invariant(this.#moving === undefined, "one spooled piece moves at a time");
    const displaced = this.#direct;
    displaced?.displace();
    this.#moving = (async () => {
      await displaced?.settled();
      await copy();
    })();
    try {
      await this.#moving;
    } finally {
      this.#moving = undefined;
    }
  }
}
