import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { systemCodeOf } from "../../base/errors.ts";
import { fileIdOf, type Use } from "../../p2p/pieces/in-use.ts";
import { readKernelText } from "./bounded-file.ts";
import { mountedIn, parseMountInfo, placeOf, type Mount } from "./mount-info.ts";
import { nameText, type Look, type UseSource } from "./use-source.ts";

const MOUNT_INFO_BYTES_MAX = 64 * 1024 * 1024;
const BACKING_FILE_BYTES_MAX = 8192;
/** Loop devices and mounted files that are looked at. */
const FILES_MAX = 4096;

/** Stored files that are mounted: by a bind mount, or through a loop device. Seen are the mounts of this process and of the machine's first one. */
export class MountSource implements UseSource {
  readonly name = "mounts";
  readonly unknown = [];
  readonly #storeDir: string;
  readonly #kernel: { readonly proc: string; readonly sys: string };

  /** `kernel`: where its files are, if not in the usual places. */
  constructor(storeDir: string, kernel = { proc: "/proc", sys: "/sys" }) {
    this.#storeDir = storeDir;
    this.#kernel = kernel;
  }

  async look(): Promise<Look> {
    const mounts = await this.#mountsOf("self");
    if (mounts === undefined) return { kind: "absent" };
    const storeDir = await realpath(this.#storeDir);
    const store = placeOf(storeDir, mounts);
    if (store === undefined) return { kind: "absent" };
    const all = [...mounts, ...((await this.#mountsOf("1")) ?? [])];
    const found = mountedIn(store, all).map(({ path, mountPoint }) => ({ path: join(storeDir, path), by: mountPoint }));
    const bound = [...new Map(found.map((file) => [JSON.stringify(file), file])).values()]; // both may see the same ones
    // Only what lies in the store's file system can be a stored file by another name; others are not touched, as they may hang.
    const loops = (await this.#loops()).filter(({ path }) => placeOf(path, mounts)?.device === store.device);
    const uses = await Promise.all([...bound.slice(0, FILES_MAX), ...loops].map((file) => useOf(file, storeDir)));
    return { kind: "seen", uses: uses.flat(), containers: 0, withoutLayers: [] };
  }

  /** Undefined where there is no such process, or it may not be looked at. */
  async #mountsOf(pid: string): Promise<readonly Mount[] | undefined> {
    try {
      return parseMountInfo(await readKernelText(join(this.#kernel.proc, pid, "mountinfo"), MOUNT_INFO_BYTES_MAX));
    } catch (thrown) {
      if (!["ENOENT", "EACCES", "EPERM"].includes(systemCodeOf(thrown) ?? "")) throw thrown;
      return undefined;
    }
  }

  /** Loop devices with their files, as this process would call them. */
  async #loops(): Promise<readonly MountedFile[]> {
    const block = join(this.#kernel.sys, "block");
    const names = await readdir(block).catch(() => []);
    const loops = names.filter((name) => /^loop\d+$/.test(name)).slice(0, FILES_MAX);
    const found = await Promise.all(
      loops.map(async (name) => {
        const text = await readKernelText(join(block, name, "loop/backing_file"), BACKING_FILE_BYTES_MAX).catch(() => ""); // not in use
        return { path: text.replace(/\n$/, ""), by: `/dev/${name}` };
      }),
    );
    return found.filter(({ path }) => path.startsWith("/"));
  }
}

interface MountedFile {
  readonly path: string;
  readonly by: string;
}

/** A file elsewhere that has no other name is none of the store's. */
async function useOf({ path, by }: MountedFile, storeDir: string): Promise<readonly Use[]> {
  const found = await stat(path, { bigint: true }).catch(() => undefined); // it is gone by now
  const stored = path.startsWith(`${storeDir}/`) || (found?.nlink ?? 0n) > 1n;
  return found?.isFile() === true && stored ? [{ reason: "mount", by: nameText(by), content: { file: fileIdOf(found) } }] : [];
}
