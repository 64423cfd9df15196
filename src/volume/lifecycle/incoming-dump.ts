import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import { volumesDir } from "./volume-paths.ts";

const PREFIX = "incoming-";
/** Of a process that was killed. */
const LEFT_MS = 24 * 3_600_000;

/** Keeps what comes in in a file of the data directory while it is used: a dump is read twice, and nothing is made of one that does not come whole. Throws what `use` throws, `disk.full`, `disk.io`. */
export async function withIncoming<T>(dataDir: string, from: Readable, clock: Clock, use: (file: string) => Promise<T>): Promise<T> {
  const dir = volumesDir(dataDir);
  const file = join(dir, `${PREFIX}${randomUUID()}`);
  try {
    await mkdir(dir, { recursive: true, mode: 0o750 });
    await removeLeft(dir, clock);
    await pipeline(from, createWriteStream(file, { flags: "wx", mode: 0o600 }));
    return await use(file);
  } catch (error) {
    throw error instanceof AnaxError ? withoutFile(error, file) : diskErrorOf(error, { file });
  } finally {
    await rm(file, { force: true });
  }
}

/** Nobody knows the file by that name. */
function withoutFile({ code, details, cause }: AnaxError, file: string): AnaxError {
  const shown = Object.fromEntries(Object.entries(details).filter(([, value]) => value !== file));
  return new AnaxError(code, shown, { cause });
}

async function removeLeft(dir: string, clock: Clock): Promise<void> {
  for (const name of await readdir(dir)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(dir, name);
    const about = await stat(path).catch(() => undefined); // another one has removed it
    if (about !== undefined && clock.wallMs() - about.mtimeMs > LEFT_MS) await rm(path, { force: true });
  }
}
