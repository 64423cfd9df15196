import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, link, lstat, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AnaxError, systemCodeOf } from "../base/errors.ts";
import { closeDescriptor, openDescriptor, readFully, writeFully } from "./descriptor.ts";
import { outputErrorOf } from "./disk-error.ts";

/** `force`: a hard link or nothing. `prefer`: a copy where a hard link cannot be made. */
export type HardLinkChoice = "prefer" | "force" | "never";

export interface ExportOptions {
  readonly from: string;
  readonly to: string;
  readonly hardLink: HardLinkChoice;
  /** Replaces a file at the output path; a directory never. */
  readonly overwrite: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Permissions of a copy. A hard link has those of the stored file: read-only, so that nobody edits the store through it. */
  readonly mode?: number | undefined;
}

const COPY_BYTES = 1024 * 1024;
/** The file system cannot link these two names: other device, no such operation, too many links, or a kernel that protects files of others. */
const NO_LINK: ReadonlySet<string> = new Set(["EXDEV", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EPERM"]);
/** The kernel cannot share the blocks; a plain copy can still be made. */
const NO_CLONE: ReadonlySet<string> = new Set(["EXDEV", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EINVAL", "ENOTTY", "EPERM", "EBADF"]);

/**
 * Puts a finished file at a path that a person chose, all at once: by a hard link, or made under another name beside it and renamed. Whatever
 * fails, the output path has its old content or none. Throws `output.exists`, `output.unwritable`, `disk.full`, `disk.io`, the signal's reason.
 */
export async function exportFile(options: ExportOptions): Promise<"linked" | "copied"> {
  const { to, signal } = options;
  signal?.throwIfAborted();
  if (options.hardLink !== "never" && (await linkedAtOnce(options))) return "linked";
  if (await isThereAlready(options)) return "linked";
  const temporary = join(dirname(to), `.anax-${randomUUID()}`);
  try {
    const how = await make(options, temporary);
    signal?.throwIfAborted();
    await putInPlace(options, temporary);
    return how;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw outputErrorOf(error, { path: to });
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined); // a rename of two links of one file leaves both names
  }
}

/** One call where nothing is in the way, which is what most exports meet. Whatever is, the long way finds out and says. */
async function linkedAtOnce({ from, to }: ExportOptions): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch {
    return false;
  }
}

/** By a link that was made before. Throws when something is there that must stay. */
async function isThereAlready({ from, to, hardLink, overwrite }: ExportOptions): Promise<boolean> {
  try {
    const found = await lstat(to, { bigint: true });
    if (found.isDirectory()) throw new AnaxError("output.unwritable", { path: to, reason: "it is a directory" });
    if (!overwrite) throw new AnaxError("output.exists", { path: to });
    if (hardLink === "never" || found.nlink === 1n) return false;
    const ours = await lstat(from, { bigint: true });
    return ours.ino === found.ino && ours.dev === found.dev;
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return false;
    throw outputErrorOf(error, { path: to });
  }
}

async function make(options: ExportOptions, temporary: string): Promise<"linked" | "copied"> {
  const { hardLink } = options;
  if (hardLink !== "never" && (await linked(options, temporary))) return "linked";
  if (hardLink === "force") throw new AnaxError("output.unwritable", { path: options.to, reason: "no hard link can be made there" });
  await copy(options, temporary);
  return "copied";
}

async function linked({ from }: ExportOptions, temporary: string): Promise<boolean> {
  try {
    await link(from, temporary);
    return true;
  } catch (error) {
    if (NO_LINK.has(systemCodeOf(error) ?? "")) return false;
    throw error;
  }
}

/** Shares the blocks where the file system can, which takes no time and no space. */
async function copy(options: ExportOptions, temporary: string): Promise<void> {
  try {
    await copyFile(options.from, temporary, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
  } catch (error) {
    if (!NO_CLONE.has(systemCodeOf(error) ?? "")) throw error;
    await rm(temporary, { force: true });
    await copyBytes(options, temporary);
  }
  // copyFile takes over the mode of the stored file, which is read-only.
  await chmod(temporary, options.mode ?? 0o666 & ~process.umask());
}

/** By hand, as `copyFile` cannot be stopped: the answer to an abort must not wait for a large file. */
async function copyBytes({ from, signal }: ExportOptions, temporary: string): Promise<void> {
  const source = await openDescriptor(from, "r");
  try {
    const target = await openDescriptor(temporary, "wx", 0o600);
    try {
      const buffer = Buffer.allocUnsafe(COPY_BYTES);
      for (let at = 0; ;) {
        signal?.throwIfAborted();
        const count = await readFully(source, buffer, at);
        await writeFully(target, buffer.subarray(0, count), at);
        at += count;
        if (count < buffer.length) return;
      }
    } finally {
      await closeDescriptor(target);
    }
  } finally {
    await closeDescriptor(source);
  }
}

/**
 * Gives a file beside the output its name. Without `overwrite` by a link, since rename would replace what somebody put there a moment ago;
 * the temporary name is the caller's to remove. Throws `output.exists` and the system's errors.
 */
export async function putInPlace({ to, overwrite }: Pick<ExportOptions, "to" | "overwrite">, temporary: string): Promise<void> {
  if (overwrite) return rename(temporary, to);
  try {
    await link(temporary, to);
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") throw new AnaxError("output.exists", { path: to });
    if (!NO_LINK.has(systemCodeOf(error) ?? "")) throw error;
    await rename(temporary, to); // no links on this file system: the moment of doubt is accepted
  }
}
