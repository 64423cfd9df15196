import { statfs } from "node:fs/promises";
import { diskErrorOf } from "./disk-error.ts";

export interface FreeSpace {
  readonly totalBytes: number;
  /** What a process without privileges may still use. */
  readonly freeBytes: number;
  /** Zero on file systems that make inodes as needed. */
  readonly inodesTotal: number;
  readonly inodesFree: number;
}

/** Room on the file system that holds `path`. Throws `disk.io`. */
export async function freeSpaceOf(path: string): Promise<FreeSpace> {
  try {
    const stats = await statfs(path);
    return {
      totalBytes: stats.blocks * stats.bsize,
      freeBytes: stats.bavail * stats.bsize,
      inodesTotal: stats.files,
      inodesFree: stats.ffree,
    };
  } catch (error) {
    throw diskErrorOf(error, { path });
  }
}
