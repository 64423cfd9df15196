import type { TaskMeta, TrafficType } from "../model/types.ts";
import type { PieceStore, StoredTask } from "../pieces/types.ts";
import { checkFacts } from "./task-meta.ts";
import type { DownloadedPiece } from "./types.ts";

/** The task of one download in the store: keeps it from being collected, and counts where its bytes came from. */
export class TaskHold implements Disposable {
  readonly #store: PieceStore;
  readonly #onStored: (stored: StoredTask) => void;
  readonly #onPiece: (piece: DownloadedPiece) => void;
  readonly bytesFrom: Record<TrafficType, number> = { "back-to-source": 0, "remote-peer": 0, "local-peer": 0 };
  #stored: StoredTask | undefined;
  #lease: Disposable | undefined;

  constructor(options: {
    readonly store: PieceStore;
    readonly onStored: (stored: StoredTask) => void;
    readonly onPiece: (piece: DownloadedPiece) => void;
  }) {
    this.#store = options.store;
    this.#onStored = options.onStored;
    this.#onPiece = options.onPiece;
  }

  get stored(): StoredTask | undefined {
    return this.#stored;
  }

  /** Opens the task; a part that was cut from another version of the content gives way. Throws `disk.full`, `task.in-use`. */
  async open(meta: TaskMeta, signal: AbortSignal): Promise<StoredTask> {
    const known = this.#store.find(meta.id);
    if (known !== undefined && (known.meta.contentLength !== meta.contentLength || known.meta.pieceLength !== meta.pieceLength)) {
      await this.drop(known);
    }
    const stored = await this.#store.open(meta, signal);
    checkFacts(stored.meta, meta);
    this.take(stored);
    return stored;
  }

  /** Holds a task that is open. The pieces in it were here before, unless it was only just adopted whole. */
  take(stored: StoredTask, origin: "found" | "adopted" = "found"): void {
    if (this.#stored === stored) return;
    this[Symbol.dispose]();
    this.#lease = stored.lease("download");
    this.#stored = stored;
    const count = origin === "adopted" || stored.finished.count === 0 ? 0 : stored.meta.pieceCount;
    for (let index = 0; index < count; index++) {
      const piece = stored.piece(index);
      if (piece !== undefined) this.gained({ ...piece, traffic: "local-peer" });
    }
    this.#onStored(stored);
  }

  gained(piece: DownloadedPiece): void {
    this.bytesFrom[piece.traffic] += piece.lengthBytes;
    this.#onPiece(piece);
  }

  /** Lets go of a task and removes it. Throws `task.in-use` while others hold it. */
  async drop(held: StoredTask): Promise<void> {
    if (this.#stored === held) this[Symbol.dispose]();
    await this.#store.remove(held.meta.id);
  }

  [Symbol.dispose](): void {
    this.#lease?.[Symbol.dispose]();
    this.#lease = undefined;
    this.#stored = undefined;
  }
}
