import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { AnaxError } from "../../../base/errors.ts";
import type { Blob } from "../../meta/extents.ts";
import { Awaiting } from "../awaiting.ts";
import type { InlineBlobs } from "../blob-store.ts";
import { blobPath, LocalBlobs } from "../local-blobs.ts";
import { ReadCounts } from "../peers/read-counts.ts";
import type { MoverStart, StagedPlaces } from "./messages.ts";
import { Mover } from "./mover.ts";

/** Files of the cache that stay open, so that what was evicted does not go on to take room for long. */
const CACHE_OPEN_MAX = 64;

/**
 * Blobs of a bucket for a thread that answers at once: written to this machine's disk, from where another thread uploads them; read from what lies here, and awaited
 * otherwise. With durability `remote` nothing is committed that the bucket does not have.
 */
export class StagedBlobs implements InlineBlobs {
  readonly #start: MoverStart;
  readonly #staged: LocalBlobs;
  readonly #cache: LocalBlobs;
  readonly #own = new Map<number, Blob>();
  readonly #counts: ReadCounts;
  #mover!: Mover;

  private constructor(start: MoverStart) {
    this.#start = start;
    this.#counts = new ReadCounts(start.counts);
    this.#staged = new LocalBlobs(start.staged);
    this.#cache = new LocalBlobs(start.cache, { openMax: CACHE_OPEN_MAX, touches: true });
  }

  static async open(places: StagedPlaces): Promise<StagedBlobs> {
    const counts = places.counts ?? new ReadCounts().shared;
    const start: MoverStart = { ...places, countsPath: join(places.reads, `${randomUUID()}.json`), counts };
    const blobs = new StagedBlobs(start);
    blobs.#mover = await Mover.start(start, (id) => blobs.#uploaded(id));
    return blobs;
  }

  put(blob: Blob, parts: readonly Uint8Array[]): void {
    this.#staged.put(blob, parts);
    this.#own.set(blob.id, blob);
    this.#mover.upload(blob);
  }

  beforeCommit(blobs: readonly Blob[]): void {
    if (this.#start.data.durability === "local") return;
    const missing = blobs.filter(({ id }) => this.#mover.isUploading(id));
    if (missing.length > 0) throw new Awaiting(Promise.all(missing.map(({ id }) => this.#mover.uploaded(id))));
  }

  sync(blobs: readonly Blob[]): void {
    if (this.#start.data.durability === "remote") return; // the bucket has them
    for (const blob of blobs)
      try {
        this.#staged.sync([blob]);
      } catch (error) {
        if (!isReplaced(error)) throw error; // else it has been uploaded meanwhile
      }
  }

  read(blob: Blob, offset: number, into: Uint8Array): void {
    if (this.#mover.isUploading(blob.id) && orMissing(() => this.#staged.read(blob, offset, into))) return;
    try {
      if (orMissing(() => this.#cache.read(blob, offset, into))) {
        this.#counts.add("readBytes", into.length);
        return this.#counts.add("cacheHits", 1);
      }
    } catch (error) {
      if (!(error instanceof AnaxError) || error.code !== "disk.corrupt") throw error;
      rmSync(blobPath(this.#start.cache, blob), { force: true }); // the bucket has a good one
    }
    if (orMissing(() => this.#staged.read(blob, offset, into))) return; // another process's
    this.#counts.add("cacheMisses", 1);
    throw new Awaiting(this.#mover.fetch(blob));
  }

  /** Begins to fetch what will be read soon. */
  expect(blob: Blob): void {
    if (!this.#mover.isUploading(blob.id)) this.#mover.fetch(blob).catch(() => undefined); // who reads it asks again
  }

  /** Undefined while as much may still be written; else the next time that there may be room. */
  room(): Promise<void> | undefined {
    return this.#mover.uploadBytes < this.#start.data.backlogBytesMax ? undefined : this.#mover.room();
  }

  /** Bytes that wait to be uploaded. */
  get backlogBytes(): number {
    return this.#mover.uploadBytes;
  }

  /** Grows while blobs come and go. */
  get moved(): number {
    return this.#mover.moved;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#mover[Symbol.asyncDispose]();
    await this.#staged[Symbol.asyncDispose]();
    await this.#cache[Symbol.asyncDispose]();
    await this.#counts.write(this.#start.countsPath).catch(() => undefined); // its own thread has ended
  }

  #uploaded(id: number): void {
    const blob = this.#own.get(id);
    if (blob !== undefined) this.#staged.close(blob);
    this.#own.delete(id);
  }
}

/** False: there is no such blob. */
function orMissing(read: () => void): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (error instanceof AnaxError && error.code === "piece.not-found") return false;
    throw error;
  }
}

const isReplaced = (error: unknown): boolean => error instanceof AnaxError && error.details["reason"] === "ENOENT";
