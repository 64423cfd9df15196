import { getSystemErrorName } from "node:util";
import { loadKoffi } from "./koffi.ts";

/** Moves what was written to files on to the disk, without waiting for it, and out of memory. Both are wishes: nothing is proven by them. */
export interface StreamedWrites {
  /** Begins to write what was written to this file. Throws the system's error when bytes are lost by that: no flush would tell it again. */
  begin(fd: number): void;
  /** Gives up the memory in which the file is cached, as far as the disk has it. */
  drop(fd: number): void;
}

const SYNC_FILE_RANGE_WRITE = 2;
/** The call is not to be had here, or not for such a file, and nothing has happened. */
const UNAVAILABLE: ReadonlySet<string> = new Set(["ENOSYS", "EPERM", "EINVAL", "ESPIPE", "EBADF"]);
const POSIX_FADV_DONTNEED = 4;

/** `sync_file_range(2)` and `posix_fadvise(2)`; undefined where koffi, Linux or glibc is missing. */
export async function loadStreamedWrites(): Promise<StreamedWrites | undefined> {
  const koffi = await loadKoffi();
  if (koffi === undefined) return undefined;
  const libc = koffi.load("libc.so.6");
  type Call = (fd: number, offset: number, length: number, what: number) => number;
  const syncRange = libc.func("int sync_file_range(int, int64_t, int64_t, unsigned int)") as Call;
  const advise = libc.func("int posix_fadvise(int, int64_t, int64_t, int)") as Call;
  return {
    begin(fd) {
      if (syncRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE) === 0) return; // a length of 0: to the end
      const code = getSystemErrorName(-koffi.errno());
      if (!UNAVAILABLE.has(code)) throw Object.assign(new Error(`${code}: sync_file_range`), { code, syscall: "sync_file_range" });
    },
    drop: (fd) => void advise(fd, 0, 0, POSIX_FADV_DONTNEED),
  };
}
