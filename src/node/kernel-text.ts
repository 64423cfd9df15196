const { closeSync, constants, openSync, readSync } = process.getBuiltinModule("node:fs");

/** Files of the kernel are small; what is not is no such file. */
const BYTES_MAX = 256 * 1024;

/** The text of a file that may be missing, unreadable, endless or something else than a file: at most 256 KiB of it, else the empty text. */
export function textIn(path: string): string {
  const chunks: Buffer[] = [];
  readChunks(path, (chunk) => void chunks.push(Buffer.from(chunk)), BYTES_MAX);
  return Buffer.concat(chunks).toString();
}

/**
 * Hands over what a file or device has, one read at a time, as a log device gives one record with each; nothing where it cannot be read.
 * Never waits for more. The chunk is valid during the call.
 */
export function readChunks(path: string, take: (chunk: Buffer) => void, bytesMax: number): void {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const buffer = Buffer.allocUnsafe(8192); // longer is no record of a log
    for (let total = 0; total < bytesMax;) {
      const bytes = readOnce(fd, buffer.subarray(0, bytesMax - total));
      if (bytes === 0) return;
      take(buffer.subarray(0, bytes));
      total += bytes;
    }
  } catch {
    // not there, or nothing more is: both say that nothing can be told from it
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** A record that was overwritten meanwhile is none: the next one is read. */
function readOnce(fd: number, into: Buffer): number {
  try {
    return readSync(fd, into);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EPIPE") throw thrown;
    return readSync(fd, into);
  }
}
