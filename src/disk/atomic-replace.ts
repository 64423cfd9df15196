import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { dirname } from "node:path";
import { closeDescriptor, openDescriptor, syncData, syncDirectory, writeFully } from "./descriptor.ts";
import { diskErrorOf } from "./disk-error.ts";

/**
 * Gives a file new content so that a reader, or a machine that lost power, sees either all of the old or all of the new.
 * Throws `disk.full`, `disk.io`; the old content is untouched then.
 */
export async function replaceFile(path: string, content: string | Uint8Array, options: { readonly mode?: number } = {}): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeNew(temporary, typeof content === "string" ? Buffer.from(content) : content, options.mode ?? 0o644);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw diskErrorOf(error, { path });
  }
}

/** The same while everything else waits: for short files and callers that have to answer at once. Throws `disk.full`, `disk.io`. */
export function replaceFileSync(path: string, content: string | Uint8Array, options: { readonly mode?: number } = {}): void {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const fd = openSync(temporary, "wx", options.mode ?? 0o644);
    try {
      writeFileSync(fd, content);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    syncDirectoryNow(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw diskErrorOf(error, { path });
  }
}

function syncDirectoryNow(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

async function writeNew(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const fd = await openDescriptor(path, "wx", mode);
  try {
    await writeFully(fd, bytes, 0);
    await syncData(fd);
  } finally {
    await closeDescriptor(fd);
  }
}
