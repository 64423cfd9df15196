import fs from "node:fs";

// What a disk does that fails: syncs say EIO, and what was written since the last good one may be gone, since the system takes it for written then. To be loaded before whoever takes
// `fdatasync` from `node:fs`.

interface Syncs {
  /** What becomes of syncs from now on. `lost`: they fail, and so much of the file that was added since the last good one is zeroes. */
  mode: "good" | "failed" | "lost";
}

type Done = (error: NodeJS.ErrnoException | null) => void;

/** Bytes of files, by descriptor, that are on disk. */
const good = new Map<number, number>();
export const syncs: Syncs = { mode: "good" };

const failure = (): NodeJS.ErrnoException =>
  Object.assign(new Error("EIO: i/o error, fsync"), { code: "EIO", errno: -5, syscall: "fsync" });

function fail(fd: number): NodeJS.ErrnoException {
  const from = good.get(fd);
  const { size } = fs.fstatSync(fd);
  if (syncs.mode === "lost" && from !== undefined && from < size) fs.writeSync(fd, Buffer.alloc(size - from), 0, size - from, from);
  return failure();
}

for (const name of ["fdatasync", "fsync"] as const) {
  const real = fs[name] as (fd: number, done: Done) => void;
  const faulty = (fd: number, done: Done): void => {
    if (syncs.mode !== "good") return process.nextTick(done, fail(fd));
    const { size } = fs.fstatSync(fd);
    real(fd, (error) => {
      if (error === null) good.set(fd, size);
      done(error);
    });
  };
  Object.assign(fs, { [name]: faulty });
  const realNow = fs[`${name}Sync`];
  const faultyNow = (fd: number): void => {
    if (syncs.mode !== "good") throw fail(fd);
    realNow(fd);
  };
  Object.assign(fs, { [`${name}Sync`]: faultyNow });
}
const { close } = fs;
Object.assign(fs, {
  close(fd: number, done?: Done) {
    good.delete(fd);
    close(fd, done);
  },
});
