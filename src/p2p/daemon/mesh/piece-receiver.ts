import { hash } from "node:crypto";
import { AnaxError, errorOf } from "../../../base/errors.ts";
import type { BlockHashes, End, PieceStart } from "../../../wire/mesh/frames.ts";
import { malformedFrame } from "../../../wire/mesh/frames.ts";
import { blockBytesOf, pieceRangeOf } from "../../model/piece.ts";
import type { PieceWriter, StoredTask } from "../../pieces/types.ts";
import type { Arrival, Feed } from "./feed.ts";
import type { ProvenPiece } from "./proof.ts";

/** How a request for a piece ended, unless it failed. */
export type Received =
  | { readonly kind: "stored" | "duplicate"; readonly piece: number; readonly lengthBytes: number }
  /** The neighbour did not give it, or stopped. */
  | { readonly kind: "ended"; readonly end: End };

export interface ReceiverOptions {
  readonly stored: StoredTask;
  readonly feed: Feed;
  /** The piece asked for, and whether another will do. */
  readonly piece: number;
  readonly orAnother: boolean;
  readonly parentId: string;
  /** Whether the proof is one whose word counts. Throws for a forged one. */
  readonly isProven: (facts: ProvenPiece, proof: BlockHashes) => boolean;
  /** Which piece comes. False: not wanted. */
  readonly onStart: (piece: number) => boolean;
  /** The first proven block is here, so that the piece can be passed on from now on. */
  readonly onArriving: (piece: number) => void;
  /** All of the piece but its last block is here. */
  readonly onEnding: () => void;
  readonly nowMs: () => number;
}

const HASH_BYTES = 32;

/** One request for a piece and what becomes of its blocks. Knows nothing of sockets. */
export class PieceReceiver {
  readonly piece: number;
  readonly orAnother: boolean;
  readonly taskId: string;
  readonly done: Promise<Received>;
  /** Of the last byte, or of the request. */
  progressMs: number;
  receivedBytes = 0;
  /** The request is on its way. */
  sent = false;
  readonly #options: ReceiverOptions;
  #resolve!: (received: Received) => void; // set by the promise's constructor, in ours
  #reject!: (reason: unknown) => void;
  #start: PieceStart | undefined;
  #proof: BlockHashes | undefined;
  #arrival: Arrival | undefined;
  #writer: PieceWriter | undefined;
  /** Writes under way, in order. Never rejects. */
  #writing: Promise<void> = Promise.resolve();
  #writes = 0;
  #block = 0;
  #settled = false;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.piece = options.piece;
    this.orAnother = options.orAnother;
    this.taskId = options.stored.meta.id;
    this.progressMs = options.nowMs();
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.done.catch(() => undefined); // its owner hears of it
  }

  /** Nothing more is wanted. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Bytes that the next block must have; undefined before the piece has begun, or after its last block. */
  get expectedBytes(): number | undefined {
    if (this.#start === undefined) return undefined;
    const left = this.#start.lengthBytes - this.#block * this.#start.blockBytes;
    return left > 0 ? Math.min(left, this.#start.blockBytes) : undefined;
  }

  get #isAtLastBlock(): boolean {
    const start = this.#start;
    return start !== undefined && this.#block === Math.ceil(start.lengthBytes / start.blockBytes) - 1;
  }

  /** The neighbour has said which piece comes. */
  get begun(): boolean {
    return this.#start !== undefined;
  }

  touch(): void {
    this.progressMs = this.#options.nowMs();
  }

  /** Throws `vortex.malformed` for a piece that cannot be. */
  begin(start: PieceStart): void {
    const { stored, orAnother, onStart, parentId } = this.#options;
    const { meta } = stored;
    if (this.#start !== undefined || (start.piece !== this.piece && !orAnother) || start.piece >= meta.pieceCount)
      throw malformedFrame("another piece than the one asked for", { asked: this.piece, told: start.piece });
    const { length } = pieceRangeOf(meta, start.piece);
    if (start.lengthBytes !== length || start.blockBytes !== blockBytesOf(meta.pieceLength))
      throw malformedFrame("a piece of another layout", { piece: start.piece });
    this.#start = start;
    this.touch();
    if (this.#settled) return;
    if (!onStart(start.piece)) return this.#end({ kind: "ended", end: "done" });
    try {
      if (start.proof !== undefined && this.#options.isProven(start, start.proof)) this.#proof = start.proof;
      this.#writer = stored.writePiece({ index: start.piece, expectedCrc32: start.crc32, traffic: "remote-peer", parentId });
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  /** Takes a block; `release` is called when its memory is needed no more. */
  take(bytes: Buffer, release: () => void): void {
    const index = this.#block++;
    this.receivedBytes += bytes.length;
    this.touch();
    if (!this.#settled && this.#proof !== undefined && !this.#agrees(index, bytes, this.#proof)) {
      this.fail(new AnaxError("piece.digest-mismatch", { taskId: this.taskId, index: this.#start!.piece, block: index })); // blocks follow a start
    }
    if (this.#writeNow(bytes)) release();
    else {
      this.#writes++;
      this.#writing = this.#writing.then(() => this.#write(bytes, release));
    }
    if (!this.#settled && this.#isAtLastBlock) this.#options.onEnding();
    if (this.expectedBytes === undefined) this.#writing = this.#writing.then(() => this.#finish());
  }

  /** A block has passed by that nobody wanted any more. */
  skip(): void {
    this.#block++;
  }

  /** The neighbour has said that no more comes. */
  ended(end: End): void {
    this.#end({ kind: "ended", end });
  }

  fail(reason: unknown): void {
    if (!this.#settle()) return;
    this.#writing = this.#writing.then(() => this.#drop(() => this.#reject(reason)));
  }

  #agrees(index: number, bytes: Buffer, { hashes }: BlockHashes): boolean {
    const expected = hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES);
    return hash("sha256", bytes, "buffer").equals(expected);
  }

  /** The same as `#write` where nothing has to be waited for: a block then costs neither promises nor turns. */
  #writeNow(bytes: Buffer): boolean {
    if (this.#settled || this.#writes > 0) return false;
    try {
      if (this.#writer?.writeNow(bytes) !== true) return false;
      this.#passOn();
    } catch (thrown) {
      this.fail(thrown);
    }
    return true;
  }

  async #write(bytes: Buffer, release: () => void): Promise<void> {
    try {
      if (!this.#settled) await this.#writer?.write(bytes);
      if (!this.#settled) this.#passOn();
    } catch (thrown) {
      this.fail(thrown);
    } finally {
      this.#writes--;
      release();
    }
  }

  /** A proven block is in the file: others may have it. */
  #passOn(): void {
    if (this.#proof === undefined || this.#start === undefined || this.#writer?.inPlace !== true) return;
    if (this.#arrival === undefined) {
      if (this.#options.stored.finished.has(this.#start.piece)) return;
      this.#arrival = this.#options.feed.begin(this.#start, this.#proof);
      if (this.#arrival === undefined) return void (this.#proof = undefined); // it comes from somebody else, too
      this.#options.onArriving(this.#start.piece);
    }
    this.#arrival.advance();
  }

  async #finish(): Promise<void> {
    const [writer, start] = [this.#writer, this.#start];
    if (writer === undefined || start === undefined || !this.#settle()) return;
    try {
      const kind = await writer.finish();
      this.#release("held");
      this.#resolve({ kind, piece: start.piece, lengthBytes: start.lengthBytes });
    } catch (thrown) {
      this.#drop(() => this.#reject(errorOf(thrown)));
    }
  }

  #end(received: Received): void {
    if (!this.#settle()) return;
    this.#writing = this.#writing.then(() => this.#drop(() => this.#resolve(received)));
  }

  #drop(tell: () => void): void {
    this.#writer?.abort();
    this.#release("gone");
    tell();
  }

  #release(state: "held" | "gone"): void {
    if (this.#arrival !== undefined) this.#options.feed.end(this.#arrival, state);
    this.#arrival = undefined;
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    return true;
  }
}
