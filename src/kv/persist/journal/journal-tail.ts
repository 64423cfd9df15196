import { closeDescriptor, syncData, writeFully } from "../../../disk/descriptor.ts";
import type { QuickWrites } from "../../../disk/quick-writes.ts";

export type SyncFile = (fd: number) => Promise<void>;

/**
 * The end of the journal's file. What was written and not synced is kept until it is, since after a sync that failed nobody knows which of it the system has thrown away. Writes may
 * go on during a sync; two writes, or two syncs, at a time may not be.
 */
export class JournalTail {
  readonly #quick: QuickWrites;
  readonly #syncFile: SyncFile;
  #fd: number;
  /** Of the file: where the first byte that may not be on disk lies. */
  #syncedBytes: number;
  /** Written since. */
  #unsynced: Buffer[] = [];
  #unsyncedBytes = 0;
  #suspect = false;

  /** `bytes`: what the file has already, all of it on disk. */
  constructor(options: {
    readonly fd: number;
    readonly bytes: number;
    readonly quick: QuickWrites;
    readonly syncFile: SyncFile | undefined;
  }) {
    this.#fd = options.fd;
    this.#syncedBytes = options.bytes;
    this.#quick = options.quick;
    this.#syncFile = options.syncFile ?? syncData;
  }

  get bytes(): number {
    return this.#syncedBytes + this.#unsyncedBytes;
  }

  get unsyncedBytes(): number {
    return this.#unsyncedBytes;
  }

  /** A sync has failed: before the next one all that was written since the last good one will be written again. */
  get suspect(): boolean {
    return this.#suspect;
  }

  /** Writes right here, unless that might take long or fails: how many bytes. */
  writeSome(bytes: Buffer): number {
    try {
      const written = this.#quick.writeSome(this.#fd, bytes, this.bytes);
      if (written > 0) this.#wrote(bytes.subarray(0, written));
      return written;
    } catch {
      return 0; // `write` will meet it as well
    }
  }

  /** Throws `disk.full`, `disk.io`. */
  async write(bytes: Buffer): Promise<void> {
    await writeFully(this.#fd, bytes, this.bytes);
    this.#wrote(bytes);
  }

  /** Puts what is written on disk; what is written meanwhile may not be. */
  async sync(): Promise<void> {
    if (this.#suspect) await writeFully(this.#fd, Buffer.concat(this.#unsynced), this.#syncedBytes);
    const end = this.bytes;
    try {
      await this.#syncFile(this.#fd);
    } catch (thrown) {
      this.#suspect = true;
      throw thrown;
    }
    this.#suspect = false;
    this.#settled(end);
  }

  /** Nobody wants to know when what was written is on disk. */
  settle(): void {
    this.#settled(this.bytes);
  }

  /** To another file, which is empty. */
  async continueIn(fd: number): Promise<void> {
    await this.close();
    this.#fd = fd;
    this.#syncedBytes = this.#unsyncedBytes = 0;
    this.#unsynced = [];
  }

  async close(): Promise<void> {
    await closeDescriptor(this.#fd);
  }

  #wrote(bytes: Buffer): void {
    this.#unsynced.push(bytes);
    this.#unsyncedBytes += bytes.length;
  }

  /** Up to this place of the file. */
  #settled(end: number): void {
    let count = 0;
    while (this.#syncedBytes < end) {
      const { length } = this.#unsynced[count++]!;
      this.#syncedBytes += length;
      this.#unsyncedBytes -= length;
    }
    this.#unsynced.splice(0, count);
  }
}
