import type { MeshConfig } from "../mesh/config.ts";
import type { TransferConfig } from "../transfer/config.ts";
import type { MemoryConfig } from "./config.ts";

const MIB = 1024 * 1024;

// Measured: resident memory of a daemon under 1 to 128 downloads at once, see docs/operations/memory.md.

/** The process itself, once it has done some work. */
const PROCESS_BYTES = 200 * MIB;
/** Sizes of block for which neighbours' content arrives in pools of their own. */
const BLOCK_SIZES = 2;

/** One download: two blocks of 1 MiB from its source, what the system has handed over of the body, and its records. */
export const DOWNLOAD_BYTES = 4 * MIB;
/** A further connection to its source. */
export const CONNECTION_BYTES = 3 * MIB;

/** A piece is in memory so often on its way to a client: as read, as a message, in frames, and what is not yet collected of the one before. */
const COPIES = 5;
/** What a stream to a client has under way besides. */
const STREAM_BYTES = MIB;

/** What sending content to a client through the socket takes, a piece of so many bytes at a time. */
export const sendingBytesOf = (pieceBytes: number): number => pieceBytes * COPIES + STREAM_BYTES;

/** What the daemon takes however much it does: itself, and buffers whose number is fixed. Uploads take no others. */
export function fixedBytesOf({ mesh, transfer }: { readonly mesh: MeshConfig; readonly transfer: TransferConfig }): number {
  const received = mesh.receiveBytesMax * BLOCK_SIZES + transfer.fetchBufferBytes * transfer.fetchBuffersMax;
  const sent = transfer.sendfile ? 0 : transfer.uploadBufferBytes * transfer.uploadsMax;
  return PROCESS_BYTES + received + sent;
}

/** Of the memory of a cgroup or machine, since others need some as well, and the kernel for sockets and pages. */
const SHARE = 0.8;

/** What downloads may take together: at least one of them goes. `constrainedBytes` is 0 where no cgroup limits this process. */
export function budgetBytesOf(
  { maxBytes }: MemoryConfig,
  fixedBytes: number,
  machine: { readonly constrainedBytes: number; readonly totalBytes: number },
): number {
  const { constrainedBytes, totalBytes } = machine;
  const given = constrainedBytes > 0 ? Math.min(constrainedBytes, totalBytes) : totalBytes;
  return Math.max(DOWNLOAD_BYTES, (maxBytes > 0 ? maxBytes : Math.floor(given * SHARE)) - fixedBytes);
}
