import { close, closeSync, fdatasync, fsync, fsyncSync, ftruncate, open, openSync, read, write } from "node:fs";
import { unlink } from "node:fs/promises";
import { promisify } from "node:util";
import { diskErrorOf } from "./disk-error.ts";

// Plain descriptors and callbacks rather than FileHandle: sendfile and worker threads need the number, and a
// FileHandle that is collected as garbage closes a descriptor that somebody may still be using.

export const openDescriptor: (path: string, flags: number | string, mode?: number) => Promise<number> = promisify(open);
export const closeDescriptor: (fd: number) => Promise<void> = promisify(close);
export const resize: (fd: number, bytes: number) => Promise<void> = promisify(ftruncate);
export const syncData: (fd: number) => Promise<void> = promisify(fdatasync);
const syncAll: (fd: number) => Promise<void> = promisify(fsync);

/** The descriptor of a new file after `prepare`; when that fails, nothing is left of the file. */
export async function preparedOrGone(path: string, fd: number, prepare: () => Promise<void>): Promise<number> {
  try {
    await prepare();
    return fd;
  } catch (error) {
    await Promise.allSettled([closeDescriptor(fd), unlink(path)]); // the failure before counts
    throw error;
  }
}

/** Writes all of `bytes` at `positionBytes`, however many system calls it takes. Throws `disk.full`, `disk.io`. */
export function writeFully(fd: number, bytes: Uint8Array, positionBytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = 0;
    const next = (): void => write(fd, bytes, done, bytes.length - done, positionBytes + done, after);
    const after = (error: Error | null, written: number): void => {
      if (error !== null) return reject(diskErrorOf(error));
      done += written;
      if (done === bytes.length) return resolve();
      // A short write is legal (a signal, a nearly full disk); one of nothing would repeat for ever.
      if (written === 0) return reject(diskErrorOf(new Error("the disk accepted no bytes")));
      next();
    };
    if (bytes.length === 0) return resolve();
    next();
  });
}

/** Fills `into` from `positionBytes`; returns fewer bytes only at the end of the file. Throws `disk.io`. */
export function readFully(fd: number, into: Uint8Array, positionBytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let done = 0;
    const next = (): void => read(fd, into, done, into.length - done, positionBytes + done, after);
    const after = (error: Error | null, count: number): void => {
      if (error !== null) return reject(diskErrorOf(error));
      done += count;
      if (count === 0 || done === into.length) return resolve(done);
      next();
    };
    if (into.length === 0) return resolve(0);
    next();
  });
}

/** Makes the names in a directory durable: a rename or a new file survives a power loss only after this. */
export async function syncDirectory(path: string): Promise<void> {
  const fd = await openDescriptor(path, "r");
  try {
    await syncAll(fd);
  } finally {
    await closeDescriptor(fd);
  }
}

/** Makes a file or a directory durable; blocks until it is. */
export function syncPathNow(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
