import { unlink } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { AnaxError, invariant, type ErrorDetails } from "../../base/errors.ts";
import { closeDescriptor, openDescriptor, preparedOrGone, readFully, writeFully } from "../../disk/descriptor.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import type { TrafficType } from "../model/types.ts";
import type { PieceFacts } from "./piece-table.ts";
import type { PieceWriters } from "./piece-writers.ts";
import type { PieceWriter } from "./types.ts";

const COPY_BYTES = 256 * 1024;

export interface WriterOptions {
  readonly index: number;
  readonly expectedCrc32?: number | undefined;
  readonly traffic: TrafficType;
  readonly parentId: string;
}

/** What a writer needs of its task. */
export interface WriterTask {
  readonly id: string;
  readonly removed: boolean;
  has(index: number): boolean;
  writeAt(bytes: Uint8Array, positionBytes: number): Promise<void>;
  /** False: not without waiting. */
  writeNow(bytes: Uint8Array, positionBytes: number): boolean;
  spoolPath(): string;
  wallMs(): number;
  /** The bytes of the piece are in the content file. */
  stored(index: number, facts: PieceFacts): void;
  duplicated(): void;
  mismatched(): void;
}

/** `nowhere`: another has won; the bytes are still counted and checked, so that their source can be judged. */
type Place = "content" | "spool" | "nowhere";

/** One writer of a piece; see `PieceWriters` for how several get along. */
export class Writer implements PieceWriter {
  readonly #group: PieceWriters;
  readonly #options: WriterOptions;
  #place: Place;
  #crc32 = 0;
  #written = 0;
  #state: "open" | "busy" | "closed" = "open";
  #spool: number | undefined;
  #inFlight: Promise<void> = Promise.resolve();
  #finishing: Promise<unknown> | undefined;

  constructor(options: WriterOptions & { readonly group: PieceWriters; readonly place: Place }) {
    this.#group = options.group;
    this.#options = options;
    this.#place = options.place;
  }

  get inPlace(): boolean {
    return this.#place === "content";
  }

  writeNow(chunk: Uint8Array): boolean {
    const { task, range } = this.#group;
    this.#enter();
    try {
      this.#mustFit(chunk);
      const isQuick = this.#place === "content" && !task.removed && !task.has(this.#options.index);
      if (isQuick && task.writeNow(chunk, range.start + this.#written)) {
        this.#crc32 = crc32(chunk, this.#crc32);
        this.#written += chunk.length;
        this.#leave();
        return true;
      }
      this.#leave();
      return false;
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#enter();
    try {
      this.#mustFit(chunk);
      const writing = this.#put(chunk, this.#written);
      this.#inFlight = writing.catch(() => undefined); // only for `settled`; the error goes to the caller
      this.#crc32 = crc32(chunk, this.#crc32); // while the disk works
      this.#written += chunk.length;
      await writing;
      this.#leave();
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  async finish(): Promise<"stored" | "duplicate"> {
    this.#enter();
    try {
      this.#check();
      const finishing = this.#finish();
      this.#finishing = finishing.catch(() => undefined); // the error goes to the caller
      return await finishing;
    } finally {
      this.#close();
    }
  }

  abort(): void {
    this.#close();
  }

  /** Makes this writer lose: nothing of it goes to the disk any more. */
  displace(): void {
    this.#place = "nowhere";
  }

  /** Resolves when no write of this writer is under way. */
  settled(): Promise<void> {
    return this.#inFlight;
  }

  async #put(chunk: Uint8Array, positionBytes: number): Promise<void> {
    const { task, range } = this.#group;
    if (task.removed) throw new AnaxError("task.not-found", { taskId: task.id });
    if (task.has(this.#options.index)) this.#place = "nowhere";
    if (this.#place === "content") await task.writeAt(chunk, range.start + positionBytes);
    if (this.#place !== "spool") return;
    this.#spool ??= await openSpool(task.spoolPath());
    await writeFully(this.#spool, chunk, positionBytes);
  }

  #mustFit(chunk: Uint8Array): void {
    if (this.#written + chunk.length > this.#group.range.length) throw this.#mismatch({ reason: "longer than the piece" });
  }

  #check(): void {
    const { expectedCrc32 } = this.#options;
    if (this.#written !== this.#group.range.length) throw this.#mismatch({ reason: "shorter than the piece", bytes: this.#written });
    if (expectedCrc32 !== undefined && expectedCrc32 >>> 0 !== this.#crc32) {
      throw this.#mismatch({ expected: String(expectedCrc32 >>> 0), actual: String(this.#crc32) });
    }
  }

  async #finish(): Promise<"stored" | "duplicate"> {
    const { task } = this.#group;
    const { index, traffic, parentId } = this.#options;
    if (this.#place === "nowhere") await this.#group.moved();
    const spool = this.#spool;
    if (this.#place === "spool" && spool !== undefined) await this.#group.move(index, () => this.#copyFrom(spool));
    if (task.removed) throw new AnaxError("task.not-found", { taskId: task.id });
    if (task.has(index)) {
      task.duplicated();
      return "duplicate";
    }
    // The piece that this one lost against was dropped again, and these bytes are nowhere.
    if (this.#place === "nowhere") throw this.#dropped();
    task.stored(index, { crc32: this.#crc32, traffic, parentId, createdAtMs: task.wallMs() });
    return "stored";
  }

  async #copyFrom(spool: number): Promise<void> {
    const { task, range } = this.#group;
    const buffer = Buffer.allocUnsafe(Math.min(COPY_BYTES, range.length));
    for (let done = 0; done < range.length;) {
      const chunk = buffer.subarray(0, Math.min(buffer.length, range.length - done));
      const count = await readFully(spool, chunk, done);
      if (count < chunk.length) throw new AnaxError("disk.io", { reason: "a spool file is shorter than what was written" });
      if (this.#place === "nowhere") throw this.#dropped(); // others write there now
      await task.writeAt(chunk, range.start + done);
      done += count;
    }
  }

  #dropped(): AnaxError {
    return new AnaxError("piece.not-found", { taskId: this.#group.task.id, index: this.#options.index, reason: "dropped meanwhile" });
  }

  #mismatch(facts: ErrorDetails): AnaxError {
    const { task } = this.#group;
    const { index, parentId } = this.#options;
    task.mismatched();
    return new AnaxError("piece.digest-mismatch", { taskId: task.id, index, parentId, ...facts });
  }

  #enter(): void {
    invariant(this.#state !== "busy", "a piece writer does one thing at a time");
    const { index } = this.#options;
    if (this.#state === "closed") throw new AnaxError("download.cancelled", { reason: "the piece writer is closed", index });
    this.#state = "busy";
  }

  /** Unless aborted meanwhile. */
  #leave(): void {
    if (this.#state === "busy") this.#state = "open";
  }

  #close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    void this.#release();
  }

  /**
   * The place is free for another only when the last write is through: it would fall into the next one's bytes. The same goes for a spool that is
   * being copied: its descriptor's number would be another file's.
   */
  async #release(): Promise<void> {
    await this.#inFlight;
    await this.#finishing;
    this.#group.left(this);
    if (this.#spool !== undefined) await closeDescriptor(this.#spool).catch(() => undefined); // unlinked and of no use any more
  }
}

/** Has no name from the start, so that nothing can be left behind. */
async function openSpool(path: string): Promise<number> {
  try {
    return await preparedOrGone(path, await openDescriptor(path, "wx+", 0o600), () => unlink(path));
  } catch (error) {
    throw diskErrorOf(error, { path });
  }
}
