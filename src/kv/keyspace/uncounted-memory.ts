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

/** Of a block. */
export const BLOCK_BYTES = 64 * 1024;
/** What more than these is given back is garbage. */
const BLOCKS_MAX = 4096;
/** Blocks that nobody has needed for so long are garbage. */
const IDLE_MS = 10_000;

const BLOCKS: Buffer[] = [];
const IDLE = { fewest: 0, sinceMs: 0 };

/**
 * A block of uncounted memory, with anything in it: one that was given back, if there is any. So what is deleted and filled again needs no collection of garbage, no zeros
 * and no pages from the kernel.
 */
export function takeBlock(): Buffer {
  const block = BLOCKS.pop();
  IDLE.fewest = Math.min(IDLE.fewest, BLOCKS.length);
  return block ?? uncountedMemory(BLOCK_BYTES);
}

/** Nobody but the caller may know the block any more. */
export function giveBlock(block: Buffer): void {
  if (BLOCKS.length < BLOCKS_MAX) BLOCKS.push(block);
  else letGo(BLOCK_BYTES);
}

/** To be called at times: lets go of blocks that were not needed. */
export function dropIdleBlocks(nowMs: number): void {
  if (nowMs - IDLE.sinceMs < IDLE_MS) return;
  IDLE.sinceMs = nowMs;
  if (IDLE.fewest > 0) {
    letGo(IDLE.fewest * BLOCK_BYTES);
    BLOCKS.length -= IDLE.fewest;
  }
  IDLE.fewest = BLOCKS.length;
}
