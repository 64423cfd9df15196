import { constants } from "node:fs";
import { copyFile, rename, rm, stat } from "node:fs/promises";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { closeDescriptor, openDescriptor, readFully } from "../../disk/descriptor.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import { parseDigest, pieceRangeOf } from "../model/piece.ts";
import type { TaskMeta } from "../model/types.ts";
import type { DigestThread } from "./digest-thread.ts";
import type { PieceTable } from "./piece-table.ts";
import type { ReadBuffers } from "./read-buffers.ts";
import { crc32OfRange } from "./verify.ts";

/** Reads a complete file through: enters its pieces into the table and checks its digest. Throws `task.digest-mismatch`, `input.invalid`, `disk.io`. */
export async function surveyFile(
  path: string,
  meta: TaskMeta,
  tools: { readonly table: PieceTable; readonly digests: DigestThread; readonly buffers: ReadBuffers; readonly wallMs: () => number },
): Promise<void> {
  const bytes = await sizeOf(path);
  if (bytes !== meta.contentLength)
    throw new AnaxError("input.invalid", { reason: "the file has another length", bytes, contentLength: meta.contentLength });
  const digest = meta.digest === undefined ? undefined : parseDigest(meta.digest);
  const following = digest && tools.digests.follow(path, digest.algorithm);
  try {
    const result = following?.result(meta.contentLength);
    result?.catch(() => undefined); // looked at when the pieces are through
    await surveyPieces(path, meta, tools);
    const actual = await result;
    if (digest === undefined || actual === digest.value) return;
    throw new AnaxError("task.digest-mismatch", { taskId: meta.id, expected: meta.digest, actual: `${digest.algorithm}:${actual}` });
  } finally {
    following?.stop();
  }
}

/** Moves a file, by name where both are on one file system, else by copy. The old name is gone afterwards. Throws `disk.full`, `disk.io`. */
export async function moveFile(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (systemCodeOf(error) !== "EXDEV") throw diskErrorOf(error, { path: to });
    await copyOver(from, to);
  }
}

async function copyOver(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    await rm(from);
  } catch (error) {
    await rm(to, { force: true });
    throw diskErrorOf(error, { path: to });
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    throw diskErrorOf(error, { path });
  }
}

async function surveyPieces(
  path: string,
  meta: TaskMeta,
  tools: { readonly table: PieceTable; readonly buffers: ReadBuffers; readonly wallMs: () => number },
): Promise<void> {
  const fd = await openDescriptor(path, "r");
  const read = (into: Uint8Array, positionBytes: number): Promise<number> => readFully(fd, into, positionBytes);
  try {
    for (let index = 0; index < meta.pieceCount; index++) {
      const sum = await crc32OfRange(read, pieceRangeOf(meta, index), tools.buffers);
      if (sum === undefined) throw new AnaxError("disk.io", { path, reason: "the file shrank" });
      tools.table.add(index, { crc32: sum, traffic: "back-to-source", parentId: "", createdAtMs: tools.wallMs() });
    }
  } finally {
    await closeDescriptor(fd);
  }
}
