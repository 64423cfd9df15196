import { copyFile, link, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { syncDirectory } from "../../disk/descriptor.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import type { Blob } from "../meta/extents.ts";
import { blobPath } from "./local-blobs.ts";

/** Where the file system gives no second name to a file. */
const COPIES: ReadonlySet<string> = new Set(["EXDEV", "EMLINK", "EPERM", "ENOTSUP"]);

/**
 * Gives another volume the same blobs: as further names of the same files, which nobody ever writes to, so that no content is copied and either volume can be deleted.
 * Throws `volume.changed` when a blob is gone meanwhile, `disk.full`, `disk.io`.
 */
export async function shareBlobs(
  from: string,
  to: string,
  blobs: Iterable<Blob>,
  signal: AbortSignal,
): Promise<{ blobs: number; bytes: number }> {
  const dirs = new Set<string>();
  const done = { blobs: 0, bytes: 0 };
  for (const blob of blobs) {
    signal.throwIfAborted();
    const source = blobPath(from, blob);
    const target = blobPath(to, blob);
    const dir = dirname(target);
    try {
      if (!dirs.has(dir)) await mkdir(dir, { recursive: true, mode: 0o750 });
      dirs.add(dir);
      await linkOrCopy(source, target);
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") throw new AnaxError("volume.changed", { blob: blob.id, path: source }, { cause: error });
      throw diskErrorOf(error, { path: target });
    }
    done.blobs++;
    done.bytes += blob.bytes;
  }
  for (const dir of dirs) await syncDirectory(dir);
  await syncDirectory(to);
  return done;
}

async function linkOrCopy(source: string, target: string): Promise<void> {
  try {
    await link(source, target);
  } catch (error) {
    if (!COPIES.has(systemCodeOf(error) ?? "")) throw error;
    await copyFile(source, target);
  }
}
