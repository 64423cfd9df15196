import { mkdir, opendir, rename, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemCodeOf } from "../../../base/errors.ts";
import { diskErrorOf } from "../../../disk/disk-error.ts";
import type { Blob } from "../../meta/extents.ts";
import { blobPath } from "../local-blobs.ts";

/** An eviction leaves this much, so that it is not needed with each blob. */
const LEFT_SHARE = 0.9;

/**
 * Blobs that are kept to be read again, as `LocalBlobs` lays them, in a directory that several processes of this machine use: what was opened longest ago goes first. The
 * time of a file says when that was. Nothing here is needed by anybody: a file that is gone is fetched again.
 */
export class CacheFiles {
  readonly #dir: string;
  readonly #bytesMax: number;
  /** As of the last look, with what came since. */
  #bytes = Number.POSITIVE_INFINITY;
  #evicting: Promise<void> | undefined;
  #names = 0;

  constructor(dir: string, bytesMax: number) {
    this.#dir = dir;
    this.#bytesMax = bytesMax;
  }

  async has(blob: Blob): Promise<boolean> {
    try {
      return (await stat(blobPath(this.#dir, blob))).size === blob.bytes;
    } catch {
      return false;
    }
  }

  /** Throws `disk.full`, `disk.io`. */
  async add(blob: Blob, content: Uint8Array): Promise<void> {
    const path = blobPath(this.#dir, blob);
    const part = join(this.#dir, `${process.pid}-${++this.#names}.part`);
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o750 });
      await writeFile(part, content, { mode: 0o640 });
      await rename(part, path);
    } catch (error) {
      await unlink(part).catch(() => undefined);
      throw diskErrorOf(error, { path });
    }
    await this.#grown(blob.bytes);
  }

  /** Takes over a file that has the content. Nothing there is no failure. */
  async adopt(blob: Blob, file: string): Promise<void> {
    const path = blobPath(this.#dir, blob);
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o750 });
      await rename(file, path);
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") return;
      throw diskErrorOf(error, { path });
    }
    await this.#grown(blob.bytes);
  }

  async #grown(bytes: number): Promise<void> {
    this.#bytes += bytes;
    if (this.#bytes <= this.#bytesMax) return;
    this.#evicting ??= this.#evict().finally(() => (this.#evicting = undefined));
    await this.#evicting;
  }

  async #evict(): Promise<void> {
    const files = await filesBelow(this.#dir);
    let left = files.reduce((sum, { bytes }) => sum + bytes, 0);
    if (left > this.#bytesMax)
      for (const { path, bytes } of files.toSorted((a, b) => a.usedMs - b.usedMs)) {
        if (left <= this.#bytesMax * LEFT_SHARE) break;
        await unlink(path).catch(() => undefined); // another process was first
        left -= bytes;
      }
    this.#bytes = left;
  }
}

async function filesBelow(dir: string): Promise<readonly { readonly path: string; readonly bytes: number; readonly usedMs: number }[]> {
  const files: { path: string; bytes: number; usedMs: number }[] = [];
  for await (const entry of await opendir(dir, { recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    try {
      const { size, mtimeMs } = await stat(path);
      files.push({ path, bytes: size, usedMs: mtimeMs });
    } catch {
      // it has just gone
    }
  }
  return files;
}
