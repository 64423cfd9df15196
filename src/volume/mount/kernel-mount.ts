import { openSync, writeFileSync } from "node:fs";
import { AnaxError, errorOf } from "../../base/errors.ts";
import { mountByFusermount } from "./fusermount.ts";
import { openFuseConnection } from "./fuse-connection.ts";
import { connectionOf, MOUNT_TYPE, mountAt, type MountEntry } from "./mount-table.ts";
import { runProgram } from "./run-program.ts";

export interface KernelMountOptions {
  /** An absolute path without symbolic links: as the kernel will show it. */
  readonly dir: string;
  /** What `mount` and `df` show as the device. */
  readonly source: string;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  /** Further options of mount(8), such as `noexec`. */
  readonly extra: readonly string[];
}

/** Read ahead of sequential readers; the kernel's own is 128 KiB, which makes every read wait for us eight times. */
const READ_AHEAD_KIB = 4096;

/** A connection with the kernel that is or will be a mount. */
export interface KernelMount {
  /** Of the device; whoever has it open serves the mount. */
  readonly fd: number;
  /** Puts it into the tree, where it is not there yet. Throws `volume.mount-failed`. */
  attach(): Promise<MountEntry>;
}

/** Root mounts when all else is ready; others can only mount first. Throws `volume.mount-failed`. */
export async function openKernelMount(options: KernelMountOptions): Promise<KernelMount> {
  if (!isRoot()) {
    const fd = await mountByFusermount(options.dir, [`fsname=${options.source}`, "subtype=anax", ...commonOptionsOf(options)]);
    return { fd, attach: async () => entryOf(options.dir) };
  }
  const fd = openDevice();
  return {
    fd,
    async attach() {
      const { dir, source } = options;
      const all = ["fd=3", "rootmode=40000", "user_id=0", "group_id=0", ...commonOptionsOf(options)];
      const { code, output } = await runProgram("mount", ["-i", "-t", MOUNT_TYPE, "-o", all.join(","), source, dir], [fd]);
      if (code !== 0) throw new AnaxError("volume.mount-failed", { dir, reason: output || "mount(8) did not end" });
      const entry = entryOf(dir);
      setReadAhead(entry);
      return entry;
    },
  };
}

export const isRoot = (): boolean => process.getuid?.() === 0;

function openDevice(): number {
  try {
    return openSync("/dev/fuse", "r+");
  } catch (thrown) {
    throw new AnaxError("volume.mount-failed", { device: "/dev/fuse", reason: errorOf(thrown).message }, { cause: thrown });
  }
}

function entryOf(dir: string): MountEntry {
  const entry = mountAt(dir);
  if (entry?.type !== MOUNT_TYPE) throw new AnaxError("volume.mount-failed", { dir, reason: "it is not in the mount table" });
  return entry;
}

const commonOptionsOf = ({ readOnly, allowOther, extra }: KernelMountOptions): readonly string[] => [
  // Where nobody but root comes in, there is nothing to be checked; and the kernel would ask for a directory's attributes before each use of it.
  ...(allowOther || !isRoot() ? ["default_permissions"] : []),
  ...(allowOther ? ["allow_other"] : []),
  "nosuid",
  "nodev",
  readOnly ? "ro" : "rw",
  ...extra,
];

/** Best effort: only root may, and nothing but speed depends on it. */
function setReadAhead(entry: MountEntry): void {
  try {
    writeFileSync(`/sys/class/bdi/${entry.device}/read_ahead_kb`, String(READ_AHEAD_KIB));
  } catch {
    // stays at what INIT agreed upon
  }
}

/**
 * Frees a path for good, whatever hangs on it: `umount -f` ends the connection, even where it then says "busy", and `umount -l` takes the path away from
 * those who still have something open there. Plain `umount -l` alone would let them go on. Never call it from the thread that serves the mount.
 */
export async function detach(path: string): Promise<void> {
  for (let tries = 0; tries < MOUNTS_MAX; tries++) {
    const entry = mountAt(path);
    if (entry?.type !== MOUNT_TYPE) return;
    if (isRoot()) {
      await runProgram("umount", ["-f", "-i", path]);
      if (mountAt(path)?.device === entry.device) await runProgram("umount", ["-l", "-i", path]);
    } else {
      (await openFuseConnection(connectionOf(entry)))?.abort();
      await runProgram("fusermount3", ["-u", "-z", path]);
    }
  }
}

/** Dead mounts may have been stacked upon each other by hand. */
const MOUNTS_MAX = 8;

/** Takes a path that nobody uses out of the tree; false where it is in use. */
export async function unmountIdle(path: string): Promise<boolean> {
  const { code } = await (isRoot() ? runProgram("umount", ["-i", path]) : runProgram("fusermount3", ["-u", path]));
  return code === 0 || mountAt(path)?.type !== MOUNT_TYPE;
}
