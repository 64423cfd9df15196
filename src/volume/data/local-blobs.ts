import { createHash } from "node:crypto";
import { closeSync, fdatasyncSync, futimesSync, mkdirSync, openSync, readSync, writevSync } from "node:fs";
import { mkdir, opendir, readFile, rename, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { realClock } from "../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { syncPathNow } from "../../disk/descriptor.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import type { StreamedWrites } from "../../disk/streamed-writes.ts";
import type { Blob } from "../meta/extents.ts";
import { blobIdOf, directoryOf, objectNameOf, type BlobStore, type InlineBlobs, type StoredObject } from "./blob-store.ts";

/** Smaller ones the kernel writes better together, some seconds later. */
const STREAMED_BYTES_MIN = 1024 * 1024;
/** By then the disk has mostly got the oldest of them. */
const FRESH_MAX = 8;

export interface LocalBlobsOptions {
  /** Descriptors that stay open. */
  readonly openMax?: number;
  /** Whether a file's time tells when it was last opened to be read. */
  readonly touches?: boolean;
  /** Large blobs go on to the disk, and out of memory, while more are written. */
  readonly streamed?: StreamedWrites | undefined;
}

interface OpenBlob {
  readonly fd: number;
  readonly blob: Blob;
  /** Written, and not flushed to the disk. */
  unsynced: boolean;
}

/** Blobs as files below one directory; everything but collection is synchronous. */
export class LocalBlobs implements BlobStore, InlineBlobs {
  readonly #dir: string;
  readonly #openMax: number;
  readonly #touches: boolean;
  readonly #open = new Map<number, OpenBlob>();
  readonly #made = new Set<string>();
  readonly #streamed: StreamedWrites | undefined;
  /** Large blobs that were written last, and whose memory is not given up yet. */
  readonly #fresh: number[] = [];

  constructor(dir: string, { openMax = 256, touches = false, streamed }: LocalBlobsOptions = {}) {
    this.#dir = dir;
    this.#openMax = openMax;
    this.#touches = touches;
    this.#streamed = streamed;
  }

  put(blob: Blob, parts: readonly Uint8Array[]): void {
    const path = blobPath(this.#dir, blob);
    try {
      this.#make(dirname(path));
      const fd = openSync(path, "w+", 0o640);
      this.#forget(blob.id);
      this.#remember({ fd, blob, unsynced: true });
      writeAll(fd, parts);
      if (blob.bytes >= STREAMED_BYTES_MIN) this.#passOn(blob.id, fd);
    } catch (error) {
      this.#forget(blob.id);
      throw diskErrorOf(error, { path });
    }
  }

  sync(blobs: readonly Blob[]): void {
    const dirs = new Set<string>();
    for (const blob of blobs) {
      const path = blobPath(this.#dir, blob);
      try {
        const open = this.#open.get(blob.id);
        if (open === undefined) syncPathNow(path);
        else if (open.unsynced) {
          fdatasyncSync(open.fd);
          open.unsynced = false;
        }
      } catch (error) {
        throw diskErrorOf(error, { blob: blob.id });
      }
      dirs.add(dirname(path));
    }
    for (const dir of dirs) syncPathNow(dir);
  }

  read(blob: Blob, offset: number, into: Uint8Array): void {
    const { fd } = this.#open.get(blob.id) ?? this.#verified(blob);
    if (readAll(fd, into, offset) !== into.length) throw new AnaxError("disk.corrupt", { blob: blob.id, reason: "the blob is too short" });
  }

  beforeCommit(): void {
    // they lie where they are to stay
  }

  /** Closes its file, if that is open. */
  close({ id }: Blob): void {
    this.#forget(id);
  }

  async inspect(blob: Blob, { content }: { readonly content: boolean }): Promise<"good" | "missing" | "damaged"> {
    const path = blobPath(this.#dir, blob);
    try {
      const bytes = content ? await readFile(path) : undefined;
      const length = bytes?.length ?? (await stat(path)).size;
      const good = length === blob.bytes && (bytes === undefined || createHash("sha256").update(bytes).digest("hex") === blob.sha256);
      return good ? "good" : "damaged";
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") return "missing";
      throw diskErrorOf(error, { path });
    }
  }

  async remove(blob: Blob): Promise<void> {
    this.#forget(blob.id);
    try {
      await unlink(blobPath(this.#dir, blob));
    } catch (error) {
      if (systemCodeOf(error) !== "ENOENT") throw diskErrorOf(error, { blob: blob.id });
    }
  }

  async *list(): AsyncIterable<StoredObject> {
    try {
      for await (const directory of await opendir(this.#dir)) {
        if (!directory.isDirectory() || directory.name === QUARANTINE) {
          if (directory.name !== QUARANTINE) yield { key: directory.name, blobId: undefined, bytes: 0 };
          continue;
        }
        for await (const file of await opendir(join(this.#dir, directory.name))) {
          const key = join(directory.name, file.name);
          const bytes = await bytesOf(join(this.#dir, key));
          if (bytes === undefined) continue; // uploaded or deleted meanwhile
          const id = file.isFile() ? blobIdOf(file.name) : undefined;
          // A blob in a place where nobody would look for it is none of ours.
          yield { key, blobId: id !== undefined && directoryOf(id) === directory.name ? id : undefined, bytes };
        }
      }
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT" && !(await exists(this.#dir))) return; // nothing was ever written
      throw diskErrorOf(error, { path: this.#dir });
    }
  }

  async quarantine(key: string): Promise<void> {
    try {
      await mkdir(join(this.#dir, QUARANTINE), { recursive: true });
      await rename(join(this.#dir, key), join(this.#dir, QUARANTINE, key.replaceAll("/", "_")));
    } catch (error) {
      throw diskErrorOf(error, { path: join(this.#dir, key) });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of this.#open.keys()) this.#forget(id); // a map may lose what its walk has passed
  }

  /** Opens a blob and looks at all of it: from then on its bytes are trusted, as nothing ever writes to it again. */
  #verified(blob: Blob): OpenBlob {
    const path = blobPath(this.#dir, blob);
    let fd: number;
    try {
      fd = openSync(path, "r");
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") throw new AnaxError("piece.not-found", { blob: blob.id, path }, { cause: error });
      throw diskErrorOf(error, { path });
    }
    try {
      const content = Buffer.allocUnsafe(blob.bytes + 1); // one more, to see that nothing is behind it
      const count = readAll(fd, content, 0);
      const sha256 = createHash("sha256").update(content.subarray(0, count)).digest("hex");
      if (count !== blob.bytes || sha256 !== blob.sha256)
        throw new AnaxError("disk.corrupt", { path, reason: "the digest does not match" });
      if (this.#touches) futimesSync(fd, realClock.wallMs() / 1000, realClock.wallMs() / 1000);
      const open = { fd, blob, unsynced: false };
      this.#remember(open);
      return open;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Who writes much is not to wait for all of it at the end; and the kernel caches the content of a mounted file in the mount, so that a second copy is only in the way. */
  #passOn(id: number, fd: number): void {
    if (this.#streamed === undefined) return;
    this.#streamed.begin(fd);
    this.#fresh.push(id);
    if (this.#fresh.length <= FRESH_MAX) return;
    const oldest = this.#open.get(this.#fresh.shift()!); // not empty
    if (oldest !== undefined) this.#streamed.drop(oldest.fd);
  }

  #make(dir: string): void {
    if (this.#made.has(dir)) return;
    if (mkdirSync(dir, { recursive: true }) !== undefined) {
      syncPathNow(this.#dir);
    }
    this.#made.add(dir);
  }

  #remember(open: OpenBlob): void {
    if (this.#open.size >= this.#openMax) {
      const [oldest] = this.#open.values(); // the map is not empty
      if (oldest!.unsynced) fdatasyncSync(oldest!.fd);
      this.#forget(oldest!.blob.id);
    }
    this.#open.set(open.blob.id, open);
  }

  #forget(id: number): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.#open.delete(id);
    closeSync(open.fd);
  }
}

/** The file of a blob below the directory for blobs. */
export const blobPath = (dir: string, blob: Blob): string => join(dir, directoryOf(blob.id), objectNameOf(blob));

const QUARANTINE = "quarantine";

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return false;
    throw error;
  }
}

/** Undefined where it has gone. */
async function bytesOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function writeAll(fd: number, parts: readonly Uint8Array[]): void {
  let left = parts.filter(({ length }) => length > 0);
  let position = 0;
  while (left.length > 0) {
    let written = writevSync(fd, left.slice(0, PARTS_MAX), position);
    if (written === 0) throw new AnaxError("disk.io", { reason: "the disk accepted no bytes" });
    position += written;
    while (left.length > 0 && written >= left[0]!.length) {
      written -= left[0]!.length;
      left = left.slice(1);
    }
    if (written > 0) left = [left[0]!.subarray(written), ...left.slice(1)]; // less than all of it was written
  }
}

/** IOV_MAX of Linux. */
const PARTS_MAX = 1024;

function readAll(fd: number, into: Uint8Array, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const count = readSync(fd, into, done, into.length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}
