import { randomUUID } from "node:crypto";
import { lstat, rm } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { closeDescriptor, openDescriptor, writeFully } from "../../disk/descriptor.ts";
import { outputErrorOf } from "../../disk/disk-error.ts";
import { exportFile } from "../../disk/export-file.ts";
import type { ByteRange } from "../model/types.ts";
import type { StoredTask } from "../pieces/types.ts";

export interface Output {
  /** Absolute. */
  readonly path: string;
  readonly overwrite: boolean;
  /** Fail rather than copy where a hard link is not possible. */
  readonly forceHardLink: boolean;
  /** Only these bytes. */
  readonly range: ByteRange | undefined;
}

/** Refuses an output that cannot be written before anything is downloaded for it. Throws `input.invalid`, `output.exists`, `output.unwritable`. */
export async function checkOutput(output: Pick<Output, "path" | "overwrite">): Promise<void> {
  const { path, overwrite } = output;
  mustBePathOfFile(path);
  const directory = await lookAt(dirname(path));
  if (directory === undefined) throw new AnaxError("output.unwritable", { output: path, reason: "the directory does not exist" });
  const there = await lookAt(path);
  if (there?.isDirectory() === true) throw new AnaxError("output.unwritable", { output: path, reason: "it is a directory" });
  if (there !== undefined && !overwrite) throw new AnaxError("output.exists", { output: path });
}

/** Throws `input.invalid` for what cannot be the path of a file, whatever is on the disk. */
export function mustBePathOfFile(path: string): void {
  if (!isAbsolute(path) || path.includes("\0") || basename(path) === "")
    throw new AnaxError("input.invalid", { output: path, reason: "not an absolute path of a file" });
}

/**
 * Puts finished content at the output path: by hard link, else by copy. Whoever looks there sees nothing or all of it.
 * Throws `output.exists`, `output.unwritable`, `disk.full`.
 */
export async function exportOutput(stored: StoredTask, output: Output, signal: AbortSignal): Promise<void> {
  using lease = stored.lease("export");
  void lease;
  const { path, overwrite, forceHardLink, range } = output;
  if (range === undefined || range.length === stored.meta.contentLength) {
    signal.throwIfAborted();
    if (await stored.linkTo(path)) return;
    await exportFile({ from: stored.path, to: path, hardLink: forceHardLink ? "force" : "prefer", overwrite, signal });
    return;
  }
  await using part = new PartFile({ path, overwrite });
  try {
    await copyRange(stored, part.path, range, signal);
    await part.put(signal);
  } catch (thrown) {
    signal.throwIfAborted();
    throw outputErrorOf(thrown, { path });
  }
}

/** A file in the making, beside its output; gone with the scope unless it was put there. */
export class PartFile implements AsyncDisposable {
  readonly path: string;
  readonly #output: Pick<Output, "path" | "overwrite">;

  constructor(output: Pick<Output, "path" | "overwrite">) {
    this.#output = output;
    this.path = join(dirname(output.path), `.${basename(output.path).slice(0, 100)}.${randomUUID()}.part`);
  }

  /** Throws `output.exists`, `output.unwritable`. */
  async put(signal: AbortSignal): Promise<void> {
    const { path, overwrite } = this.#output;
    await exportFile({ from: this.path, to: path, hardLink: "prefer", overwrite, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { force: true });
  }
}

async function copyRange(stored: StoredTask, path: string, range: ByteRange, signal: AbortSignal): Promise<void> {
  const fd = await openDescriptor(path, "wx", 0o666);
  try {
    let at = 0;
    for await (const chunk of stored.stream(range, signal)) {
      await writeFully(fd, chunk, at);
      at += chunk.length;
    }
  } finally {
    await closeDescriptor(fd);
  }
}

async function lookAt(path: string) {
  try {
    return await lstat(path);
  } catch (thrown) {
    if (systemCodeOf(thrown) === "ENOENT" || systemCodeOf(thrown) === "ENOTDIR") return undefined;
    throw outputErrorOf(thrown, { path });
  }
}
