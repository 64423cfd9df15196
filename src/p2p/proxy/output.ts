import { constants } from "node:fs";
import { copyFile, link, realpath, rename, rm } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { basename, dirname, isAbsolute, join, normalize, sep } from "node:path";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import type { StoredTask } from "../pieces/types.ts";

/** Puts downloaded content where `X-Dragonfly-Output-Path` says, within the directories that settings allow. */
export class OutputWriter {
  readonly #roots: readonly string[];

  constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  /** The path, its directories resolved. Throws `output.unwritable` when it is not below a root. */
  async check(path: string): Promise<string> {
    const named = normalize(path);
    if (!isAbsolute(path) || path.includes("\0") || named.endsWith(sep) || named !== path) throw refused(path, "not a plain absolute path");
    const directory = await resolved(dirname(named));
    const roots = await Promise.all(this.#roots.map(resolved));
    const inside =
      directory !== undefined &&
      roots.some((root) => root !== undefined && `${directory}${sep}`.startsWith(root === sep ? sep : `${root}${sep}`));
    if (!inside) throw refused(path, "not below a directory of p2p.proxy.outputRoots");
    return join(directory, basename(named));
  }

  /** Links, or else copies, finished content to a checked path; whoever looks there sees all of it or nothing. Throws `output.unwritable`, `disk.full`. */
  async write(stored: StoredTask, path: string, options: { readonly hardLinkOnly: boolean }): Promise<void> {
    const temporary = `${path}.${randomUUID()}.tmp`;
    using _lease = stored.lease("export");
    try {
      await place(stored.path, temporary, options.hardLinkOnly);
      await rename(temporary, path);
    } catch (thrown) {
      if (systemCodeOf(thrown) === "ENOSPC") throw new AnaxError("disk.full", { path }, { cause: thrown });
      throw new AnaxError("output.unwritable", { path, reason: systemCodeOf(thrown) ?? String(thrown) }, { cause: thrown });
    } finally {
      await rm(temporary, { force: true }); // also when it is a second name of the same file, which rename leaves alone
    }
  }
}

async function place(from: string, to: string, hardLinkOnly: boolean): Promise<void> {
  try {
    await link(from, to);
  } catch (thrown) {
    if (hardLinkOnly) throw thrown;
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  }
}

async function resolved(directory: string): Promise<string | undefined> {
  try {
    return await realpath(directory);
  } catch {
    return undefined; // what does not exist is below nothing
  }
}

const refused = (path: string, reason: string): AnaxError => new AnaxError("output.unwritable", { path: path.slice(0, 256), reason });
