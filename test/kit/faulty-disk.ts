import { mkdtemp, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountSmallDisk } from "./small-disk.ts";
import { run, waitFor } from "./process.ts";

/** A file system that gets full and read-only when told. */
export interface FaultyDisk extends AsyncDisposable {
  readonly dir: string;
  readonly isFull: boolean;
  /** False for who may not mount: then it is an ordinary directory, and none of what follows happens. */
  readonly canFail: boolean;
  /** Another program takes every byte that is left. */
  fill(): Promise<void>;
  empty(): Promise<void>;
  /** Nobody may have a file of it open for writing. */
  setReadOnly(isReadOnly: boolean): Promise<void>;
}

export async function aFaultyDisk(bytes: number): Promise<FaultyDisk> {
  const mounted = await mountSmallDisk(bytes);
  if (typeof mounted === "string") return anOrdinaryDirectory();
  const { dir } = mounted;
  const filler = join(dir, "filler");
  let isFull = false;
  return {
    dir,
    canFail: true,
    get isFull() {
      return isFull;
    },
    async fill() {
      const { bavail, bsize } = await statfs(dir);
      isFull = true;
      await writeFile(filler, Buffer.alloc(bavail * bsize), { flag: "a" }).catch((thrown: NodeJS.ErrnoException) => {
        if (thrown.code !== "ENOSPC") throw thrown;
      });
    },
    async empty() {
      if (isFull) await truncate(filler);
      isFull = false;
    },
    async setReadOnly(isReadOnly) {
      const remount = ["-o", `remount,${isReadOnly ? "ro" : "rw"}`, dir];
      await waitFor(async () => (await run("mount", remount)).code === 0); // descriptors are closed in the background
    },
    async [Symbol.asyncDispose]() {
      await waitFor(async () => (await run("umount", [dir])).code === 0); // likewise
      await rm(dir, { recursive: true });
    },
  };
}

const nothing = async (): Promise<void> => undefined;

async function anOrdinaryDirectory(): Promise<FaultyDisk> {
  const dir = await mkdtemp(join(tmpdir(), "anax-model-"));
  return {
    dir,
    canFail: false,
    isFull: false,
    fill: nothing,
    empty: nothing,
    setReadOnly: nothing,
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true, maxRetries: 3 }),
  };
}
