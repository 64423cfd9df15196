/** Told of at once. */
const TOLD_BYTES = 8 * 1024 * 1024;
/** More than that at once makes no difference: V8 begins a collection. */
const TOLD_BYTES_MAX = 64 * 1024 * 1024;

const GARBAGE = { bytes: 0 };

/**
 * Memory, all zeros, for what grows large and whose owner knows when it is done with. V8 goes through its whole heap for each 64 MiB of buffers that were made, however
 * few of them are garbage: a list that grows by half a kilobyte with each push spent a quarter of the CPU time on that. Shared memory it does not count, so
 * whoever lets go of some says so.
 */
export const uncountedMemory = (bytes: number): Buffer => Buffer.from(new SharedArrayBuffer(bytes));

/** Such memory is garbage now. */
export function letGo(bytes: number): void {
  GARBAGE.bytes += bytes;
  if (GARBAGE.bytes < TOLD_BYTES) return;
  countGarbage(Math.min(GARBAGE.bytes, TOLD_BYTES_MAX));
  GARBAGE.bytes = 0;
}

/** Garbage that is counted; as nobody touches it, it takes no memory. */
const countGarbage = (bytes: number): number => new ArrayBuffer(bytes).byteLength;
