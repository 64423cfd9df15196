import { closeSync, fdatasyncSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { closeDescriptor, openDescriptor, syncData, syncDirectory, writeFully } from "../../disk/descriptor.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";

/** A file that gets its name once its content is on disk: until then, and if that fails, what had the name stays. */
export class NewFile {
  readonly #path: string;
  readonly #temporary: string;
  readonly #fd: number;
  #bytes = 0;

  private constructor(path: string, temporary: string, fd: number) {
    this.#path = path;
    this.#temporary = temporary;
    this.#fd = fd;
  }

  /** Throws `disk.full`, `disk.io`, as all of this does. */
  static async create(path: string, temporary: string): Promise<NewFile> {
    try {
      return new NewFile(path, temporary, await openDescriptor(temporary, "w", 0o644));
    } catch (thrown) {
      throw diskErrorOf(thrown, { path: temporary });
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Writes all chunks and names the file. Whatever goes wrong, nothing of it stays, nor where it is given up meanwhile: then it says false. */
  async fill(chunks: AsyncIterable<Buffer>, givenUp: () => boolean = () => false): Promise<boolean> {
    try {
      try {
        for await (const chunk of chunks) {
          if (givenUp()) break;
          await writeFully(this.#fd, chunk, this.#bytes);
          this.#bytes += chunk.length;
        }
        if (!givenUp()) await syncData(this.#fd);
      } finally {
        await closeDescriptor(this.#fd);
      }
      if (givenUp()) {
        await rm(this.#temporary, { force: true });
        return false;
      }
      await rename(this.#temporary, this.#path);
      await syncDirectory(dirname(this.#path));
      return true;
    } catch (thrown) {
      await rm(this.#temporary, { force: true });
      throw diskErrorOf(thrown, { path: this.#path });
    }
  }
}

/** The same at once, while everything waits. */
export function writeFileNow(path: string, temporary: string, chunks: Iterable<Buffer>): void {
  try {
    const fd = openSync(temporary, "w", 0o644);
    try {
      for (const chunk of chunks) for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    const directory = openSync(dirname(path), "r");
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  } catch (thrown) {
    rmSync(temporary, { force: true });
    throw diskErrorOf(thrown, { path });
  }
}
