import { crc32 } from "node:zlib";
import type { ByteRange } from "../model/types.ts";
import { CHUNK_BYTES, type ReadBuffers } from "./read-buffers.ts";

/** The CRC-32 of a part of a file, or undefined when the file ends before it does. Throws `disk.io`. */
export async function crc32OfRange(
  read: (into: Uint8Array, positionBytes: number) => Promise<number>,
  range: ByteRange,
  buffers: ReadBuffers,
): Promise<number | undefined> {
  const buffer = buffers.take();
  try {
    let sum = 0;
    for (let done = 0; done < range.length;) {
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, range.length - done));
      if ((await read(chunk, range.start + done)) < chunk.length) return undefined;
      sum = crc32(chunk, sum);
      done += chunk.length;
    }
    return sum;
  } finally {
    buffers.give(buffer);
  }
}

/** What verification needs of its task. */
export interface VerifiableTask {
  readonly pieceCount: number;
  /** Recorded in the database, but not known to be on disk. */
  isUnverified(index: number): boolean;
  /** Whether the bytes on disk agree with the recorded checksum. */
  check(index: number): Promise<boolean>;
  accept(index: number): void;
  reject(index: number): void;
}

/**
 * Reads pieces that were kept from before a restart and decides about each: an unfinished task's bytes were never flushed, so after a
 * power loss a recorded piece may be torn. Pieces that somebody waits for come first. Throws `disk.io`, the signal's reason.
 */
export async function verifyRecorded(task: VerifiableTask, wanted: Set<number>, signal: AbortSignal): Promise<void> {
  for (let index = 0; index < task.pieceCount;) {
    signal.throwIfAborted();
    const [first] = wanted;
    if (first !== undefined) wanted.delete(first);
    else index++;
    const candidate = first ?? index - 1;
    if (!task.isUnverified(candidate)) continue;
    const right = await task.check(candidate);
    if (!task.isUnverified(candidate)) continue; // written anew meanwhile
    if (right) task.accept(candidate);
    else task.reject(candidate);
  }
}
