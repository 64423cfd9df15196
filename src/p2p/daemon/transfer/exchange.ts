import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import { malformed, type PieceMetadata } from "../../../wire/vortex/codec.ts";
import type { TaskId } from "../../model/ids.ts";
import { parseDigest } from "../../model/piece.ts";
import { trafficTypeOf } from "../../model/types.ts";
import type { PieceWriter } from "../../pieces/types.ts";
import type { RateClass } from "../rates/types.ts";
import type { PieceHead, PieceReceipt } from "./types.ts";

/** How a request on one connection ended, unless it failed for good. */
export type ExchangeOutcome =
  | { readonly kind: "done"; readonly receipt: PieceReceipt }
  /** The connection ended before the answer began: asking again is safe. `deliberate`: we closed it for another request's sake. */
  | { readonly kind: "lost"; readonly because: AnaxError; readonly deliberate: boolean };

export interface ExchangeOptions {
  readonly taskId: TaskId;
  readonly index: number;
  readonly priority?: RateClass | undefined;
  readonly open: (head: PieceHead) => PieceWriter;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** One request for a piece and what becomes of its bytes. Knows nothing of sockets. */
export class Exchange {
  readonly taskId: TaskId;
  readonly index: number;
  readonly priority: RateClass;
  readonly done: Promise<ExchangeOutcome>;
  /** Called once when nobody wants the piece any more although its bytes may still come. */
  onAbandoned: (() => void) | undefined;
  readonly #options: ExchangeOptions;
  readonly #startedMs: number;
  readonly #onAbort = (): void => this.#abandon(this.#options.signal.reason);
  #resolve!: (outcome: ExchangeOutcome) => void; // set by the promise's constructor, in ours
  #reject!: (reason: unknown) => void;
  #head: PieceHead | undefined;
  #writer: PieceWriter | undefined;
  /** The last of the writes under way: a writer gets one at a time, in order. Never rejects. */
  #writing: Promise<void> = Promise.resolve();
  #settled = false;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.taskId = options.taskId;
    this.index = options.index;
    this.priority = options.priority ?? "normal";
    this.#startedMs = options.clock.nowMs();
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    options.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** The piece's bytes are not wanted (any more): aborted, refused or failed. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Takes the head of the answer. Throws `vortex.malformed` when it is none to this request; what `open` throws abandons the exchange. */
  begin(metadata: PieceMetadata): void {
    if (metadata.number !== this.index)
      throw malformed("another piece than the one asked for", { asked: this.index, told: metadata.number });
    if (metadata.length < 0 || metadata.offset < 0) throw malformed("a negative length or offset");
    const head = headOf(metadata);
    if (this.#settled) return;
    try {
      this.#writer = this.#options.open(head);
      this.#head = head;
    } catch (thrown) {
      this.#abandon(thrown);
    }
  }

  /** Writes bytes in order; `release` is called when they are no longer needed. */
  write(bytes: Uint8Array, release: () => void): void {
    const write = async (): Promise<void> => {
      try {
        if (!this.#settled) await this.#writer?.write(bytes);
      } catch (thrown) {
        this.#abandon(thrown);
      } finally {
        release();
      }
    };
    this.#writing = this.#writing.then(write);
  }

  /** All bytes have been handed over. From here on an abort comes too late. */
  complete(): void {
    const finish = async (): Promise<void> => {
      const [writer, head] = [this.#writer, this.#head];
      if (writer === undefined || head === undefined || !this.#settle()) return;
      try {
        const outcome = await writer.finish();
        this.#resolve({ kind: "done", receipt: { head, outcome, costMs: this.#options.clock.nowMs() - this.#startedMs } });
      } catch (thrown) {
        writer.abort();
        this.#reject(thrown);
      }
    };
    this.#writing = this.#writing.then(finish);
  }

  /** Ends the exchange with an error, once the writer has let go of all buffers. */
  fail(reason: unknown): void {
    if (!this.#settle()) return;
    const end = (): void => {
      this.#writer?.abort();
      this.#reject(reason);
    };
    this.#writing = this.#writing.then(end);
  }

  /** The connection is gone and the answer had not begun. */
  lose(because: AnaxError, deliberate: boolean): void {
    if (this.#settle()) this.#resolve({ kind: "lost", because, deliberate });
  }

  #abandon(reason: unknown): void {
    if (this.#settled) return;
    this.fail(reason);
    this.onAbandoned?.();
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#options.signal.removeEventListener("abort", this.#onAbort);
    return true;
  }
}

function headOf(metadata: PieceMetadata): PieceHead {
  return {
    index: metadata.number,
    offsetBytes: metadata.offset,
    lengthBytes: metadata.length,
    crc32: crc32Of(metadata.digest),
    parentId: metadata.parentId,
    traffic: trafficTypeOf(metadata.trafficType),
  };
}

/** Upstream may send no digest, or one of an algorithm that we do not compute per piece. */
function crc32Of(digest: string): number | undefined {
  if (!digest.startsWith("crc32:")) return undefined;
  try {
    return Number(parseDigest(digest).value);
  } catch (cause) {
    throw malformed("a piece digest that is none", {}, cause);
  }
}

/** Error packets as our errors; the text is a stranger's, so it is kept short. */
export function remoteErrorOf(answer: { readonly code: number; readonly message: string }): AnaxError {
  const details = { reason: answer.message.slice(0, 256), remoteCode: answer.code };
  return new AnaxError(answer.code === 2 ? "piece.not-found" : "vortex.remote", details);
}
