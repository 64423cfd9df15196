import { openSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { crc32 } from "node:zlib";
import { AnaxError } from "../../../base/errors.ts";
import { closeDescriptor, syncData, syncDirectory, writeFully } from "../../../disk/descriptor.ts";
import { diskErrorOf } from "../../../disk/disk-error.ts";
import { ByteWriter } from "../../persist/rdb/byte-writer.ts";
import type { SlotRange } from "../slot-map.ts";

// docs/formats/slot-migration.md
const MAGIC = Buffer.from("anax-staged/1\n");
const RECORD_HEAD_BYTES = 8;
/** So much is synced while more comes, so that little is left when the slots are fenced. */
const SYNC_BYTES = 4 * 1024 * 1024;
/** What may wait to be written. */
const BEHIND_BYTES_MAX = 256 * 1024 * 1024;
/** A larger buffer is not used again. */
const SPARE_BYTES_MAX = 8 * 1024 * 1024;

/** What was staged, on disk: payloads in their order. */
export class StagingFile {
  readonly path: string;
  readonly #fd: number;
  /** What is to be written next; a buffer for what comes meanwhile. */
  readonly #next = new ByteWriter(false);
  #spare: Buffer | undefined;
  readonly #head = Buffer.alloc(RECORD_HEAD_BYTES);
  #running: Promise<void> | undefined;
  #bytes = 0;
  /** The first sync is that of the header, before anything is expected of it. */
  #syncedBytes = -SYNC_BYTES;
  /** Why it is of no use. */
  #failure: Error | undefined;
  #closed = false;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** Throws `disk.full`, `disk.io`. */
  static create(path: string, ranges: readonly SlotRange[]): StagingFile {
    try {
      const file = new StagingFile(path, openSync(path, "w", 0o644));
      file.#write([headerOf(ranges)]);
      return file;
    } catch (error) {
      throw diskErrorOf(error, { path });
    }
  }

  /** The payload is copied. Throws `disk.io` when the disk is too far behind. */
  append(payload: Buffer): void {
    if (this.#next.length > BEHIND_BYTES_MAX) throw new AnaxError("disk.io", { path: this.path, reason: "the disk falls behind" });
    this.#head.writeUInt32BE(payload.length, 0);
    this.#head.writeUInt32BE(crc32(payload), 4);
    this.#write([this.#head, payload]);
  }

  #write(parts: readonly Buffer[]): void {
    if (this.#closed || this.#failure !== undefined) return;
    for (const part of parts) this.#next.raw(part);
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    try {
      while (this.#next.length > 0) {
        const bytes = this.#next.take(this.#spare);
        this.#spare = undefined;
        await writeFully(this.#fd, bytes, this.#bytes);
        this.#bytes += bytes.length;
        if (bytes.buffer.byteLength <= SPARE_BYTES_MAX) this.#spare = Buffer.from(bytes.buffer);
        if (this.#bytes - this.#syncedBytes > SYNC_BYTES) await this.#sync();
      }
    } catch (error) {
      this.#failure = error as Error;
      this.#next.clear();
    }
    this.#running = undefined;
  }

  /** All that was appended is on disk, under its name: so many bytes. Throws `disk.full`, `disk.io`. */
  async sync(): Promise<number> {
    await this.#running;
    try {
      if (this.#failure !== undefined) throw this.#failure;
      await this.#sync();
    } catch (error) {
      this.#failure ??= error as Error; // nobody knows what a failed sync has lost
      throw diskErrorOf(error, { path: this.path });
    }
    return this.#bytes;
  }

  /** Its name, too, the first time: later that costs nothing more. */
  async #sync(): Promise<void> {
    const bytes = this.#bytes;
    await syncData(this.#fd);
    if (this.#syncedBytes < 0) await syncDirectory(dirname(this.path));
    this.#syncedBytes = bytes;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#next.clear();
    await this.#running;
    await closeDescriptor(this.#fd);
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true });
  }
}

function headerOf(ranges: readonly SlotRange[]): Buffer {
  const header = Buffer.alloc(MAGIC.length + 4 + 4 * ranges.length);
  MAGIC.copy(header);
  header.writeUInt32BE(ranges.length, MAGIC.length);
  for (const [at, { start, end }] of ranges.entries()) {
    header.writeUInt16BE(start, MAGIC.length + 4 + 4 * at);
    header.writeUInt16BE(end, MAGIC.length + 6 + 4 * at);
  }
  return header;
}

/** Slots and payloads of the first `bytesMax` bytes of a file, which were synced. Throws `disk.corrupt`, `disk.io`. */
export function readStagingFile(
  path: string,
  bytesMax: number,
): { readonly slots: readonly number[]; readonly payloads: Iterable<Buffer> } {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path).subarray(0, bytesMax);
  } catch (error) {
    throw diskErrorOf(error, { path });
  }
  const damaged = (offset: number, reason: string): AnaxError => new AnaxError("disk.corrupt", { path: basename(path), offset, reason });
  const count = bytes.length >= MAGIC.length + 4 ? bytes.readUInt32BE(MAGIC.length) : 0;
  const start = MAGIC.length + 4 + 4 * count;
  if (bytes.length < Math.max(start, Number.isFinite(bytesMax) ? bytesMax : 0) || !bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw damaged(0, "it is cut off, or no file of staged slots");
  const slots: number[] = [];
  for (let at = MAGIC.length + 4; at < start; at += 4)
    for (let slot = bytes.readUInt16BE(at); slot <= bytes.readUInt16BE(at + 2); slot++) slots.push(slot);
  function* payloads(): Generator<Buffer> {
    for (let at = start; at < bytes.length;) {
      if (at + RECORD_HEAD_BYTES > bytes.length) throw damaged(at, "it ends within a record");
      const end = at + RECORD_HEAD_BYTES + bytes.readUInt32BE(at);
      const payload = bytes.subarray(at + RECORD_HEAD_BYTES, end);
      if (end > bytes.length || crc32(payload) !== bytes.readUInt32BE(at + 4)) throw damaged(at, "a record is damaged");
      yield payload;
      at = end;
    }
  }
  return { slots, payloads: payloads() };
}
