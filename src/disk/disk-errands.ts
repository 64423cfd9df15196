import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  readlinkSync,
  realpathSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { systemCodeOf } from "../base/errors.ts";
import { isBelow } from "./below.ts";
import type { Seal } from "./seal-together.ts";

/** Calls to a disk that belong together, by what they do. */
export interface DiskErrands {
  /** Makes a sparse file that was not there, and its directory where that is missing. Returns its descriptor. */
  make: { readonly of: { readonly path: string; readonly lengthBytes: number; readonly mode: number }; readonly gives: number };
  /** Makes a file that was not there, with all of its content, and its directory where that is missing. */
  keep: { readonly of: { readonly path: string; readonly bytes: Uint8Array; readonly mode: number }; readonly gives: undefined };
  /** Makes the content and the name of a file durable, and gives the file its mode, unless it has it. Without `fd` it is opened for that. */
  seal: { readonly of: Seal; readonly gives: undefined };
  link: { readonly of: { readonly from: string; readonly to: string }; readonly gives: undefined };
  /** Reads a whole regular file of at most `bytesMax` that really lies below one of the directories `below`. Returns undefined for anything else. */
  read: {
    readonly of: { readonly path: string; readonly below: readonly string[]; readonly bytesMax: number };
    readonly gives: SmallFile | undefined;
  };
  close: { readonly of: { readonly fds: readonly number[] }; readonly gives: undefined };
}

export interface SmallFile {
  readonly bytes: Uint8Array;
  readonly mtimeMs: number;
}

export type DiskErrandName = keyof DiskErrands;

const FRESH = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR;

/** How each is done, one call after the other; `sealTogether` does the rest. Throws the system's errors. */
export const DISK_ERRANDS: {
  readonly [Name in Exclude<DiskErrandName, "seal">]: (of: DiskErrands[Name]["of"]) => DiskErrands[Name]["gives"];
} = {
  make({ path, lengthBytes, mode }) {
    const fd = openFresh(path, mode);
    try {
      ftruncateSync(fd, lengthBytes);
      return fd;
    } catch (error) {
      closeSync(fd);
      unlinkSync(path);
      throw error;
    }
  },
  keep({ path, bytes, mode }) {
    const fd = openFresh(path, mode);
    try {
      if ((mode & process.umask()) !== 0) fchmodSync(fd, mode);
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, at);
    } catch (error) {
      unlinkSync(path);
      throw error;
    } finally {
      closeSync(fd);
    }
  },
  link({ from, to }) {
    linkSync(from, to);
  },
  read({ path, below, bytesMax }) {
    const isAllowed = (real: string): boolean => below.some((directory) => isBelow(real, directory));
    const real = realpathSync.native(path);
    if (!isAllowed(real)) return undefined; // devices and pipes elsewhere must not even be opened
    const fd = openSync(real, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(fd);
      const { size, mtimeMs } = stats;
      // A link may have changed between check and open: what was opened is judged.
      if (!stats.isFile() || size > bytesMax || !isAllowed(readlinkSync(`/proc/self/fd/${fd}`))) return undefined;
      const bytes = new Uint8Array(size);
      return readSync(fd, bytes, 0, size, 0) === size ? { bytes, mtimeMs } : undefined;
    } finally {
      closeSync(fd);
    }
  },
  close({ fds }) {
    for (const fd of fds) {
      // The kernel frees the number even when it reports an error, and what mattered was synced: nothing to do about one.
      try {
        closeSync(fd);
      } catch {}
    }
  },
};

/** Directories are few and stay, so that one is looked for only when it is missing. */
function openFresh(path: string, mode: number): number {
  try {
    return openSync(path, FRESH, mode);
  } catch (error) {
    if (systemCodeOf(error) !== "ENOENT") throw error;
    mkdirSync(dirname(path), { recursive: true });
    return openSync(path, FRESH, mode);
  }
}
