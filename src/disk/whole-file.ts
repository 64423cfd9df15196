import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Writable } from "node:stream";
import { AnaxError } from "../base/errors.ts";
import { syncDirectory } from "./descriptor.ts";
import { diskErrorOf } from "./disk-error.ts";

/**
 * Makes a file, for its owner alone, of what `fill` writes to the stream and ends it with: there, and on the disk, as a whole or not at all. What was there before stays
 * where this fails. Throws what `fill` throws, `disk.full`, `disk.io`.
 */
export async function writeWhole<T>(file: string, fill: (out: Writable) => Promise<T>): Promise<T> {
  const part = `${file}.${process.pid}.part`;
  let out: Writable | undefined;
  try {
    out = (await open(part, "wx", 0o600)).createWriteStream({ flush: true });
    const result = await fill(out);
    await rename(part, file);
    await syncDirectory(dirname(file));
    return result;
  } catch (error) {
    out?.destroy();
    await rm(part, { force: true }).catch(() => undefined); // the first failure is the one to tell
    throw error instanceof AnaxError ? error : diskErrorOf(error, { file });
  }
}
