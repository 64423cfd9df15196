import type { PieceStart } from "../../../wire/mesh/frames.ts";
import type { StoredTask } from "../../pieces/types.ts";
import type { Arrival } from "./feed.ts";

/** A piece on its way to a neighbour; holds an upload slot and keeps the content from being collected until disposed. */
export class Outgoing implements Disposable {
  readonly stored: StoredTask;
  readonly start: Omit<PieceStart, "stream">;
  /** Undefined: the piece is held. */
  readonly #arrival: Arrival | undefined;
  readonly #blockCount: number;
  readonly #release = new DisposableStack();

  constructor(options: {
    readonly stored: StoredTask;
    readonly start: Omit<PieceStart, "stream">;
    readonly arrival: Arrival | undefined;
    readonly slot: Disposable;
  }) {
    const { stored, start, arrival, slot } = options;
    this.stored = stored;
    this.start = start;
    this.#arrival = arrival;
    this.#blockCount = Math.ceil(start.lengthBytes / start.blockBytes);
    this.#release.use(slot);
    this.#release.use(stored.lease("upload"));
  }

  /** Blocks from the start of the piece that are here. */
  readyBlocks(): number {
    if (this.#arrival === undefined || this.stored.finished.has(this.start.piece)) return this.#blockCount;
    return this.#arrival.state === "gone" ? 0 : this.#arrival.blocks; // another may be writing in its place by now
  }

  /** No more will come than is ready. */
  get gone(): boolean {
    return this.#arrival?.state === "gone" && !this.stored.finished.has(this.start.piece);
  }

  onChange(listen: () => void): void {
    if (this.#arrival !== undefined) this.#release.use(this.#arrival.onChange(listen));
  }

  [Symbol.dispose](): void {
    this.#release.dispose();
  }
}
