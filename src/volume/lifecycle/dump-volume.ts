import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { isoText, type Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { syncDirectory } from "../../disk/descriptor.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import { writeWhole } from "../../disk/whole-file.ts";
import { dumpedRows, loadRows } from "../meta/sqlite/dump.ts";
import { openSqliteLedger } from "../meta/sqlite/sqlite-ledger.ts";
import { DUMP_VERSION, dumpLines, readDump } from "./dump-lines.ts";
import { MetaPlace, removeSqlite } from "./open-meta.ts";
import { volumePaths, volumesDir } from "./volume-paths.ts";
import type { VolumeRecord } from "./volume-record.ts";

const CHUNK_SIGNS = 64 * 1024;

/** What a dump says of its volume. */
export type DumpedVolume = Omit<VolumeRecord, "state" | "epoch" | "deletedAtMs" | "purgeAtMs" | "deletedBy">;

/** Writes the metadata, as they are committed at one moment, to a file that is there as a whole or not at all. Throws `disk.full`, `disk.io`, `volume.unreachable`. */
export async function dumpVolume(
  dataDir: string,
  volume: VolumeRecord,
  { file, clock }: { readonly file: string; readonly clock: Clock },
): Promise<void> {
  await writeWhole(file, (out) => streamDump(dataDir, volume, { out, clock }));
}

/** The same to a stream, which is ended with it, as fast as that takes them; where this fails, what it got is no dump. Throws as `dumpVolume`, and what the stream failed with. */
export async function streamDump(
  dataDir: string,
  volume: VolumeRecord,
  { out, clock }: { readonly out: Writable; readonly clock: Clock },
): Promise<void> {
  const { meta } = volumePaths(dataDir, volume.uuid);
  const { uuid, name, owner, readOnly, capacityBytes, inodesMax, onDelete, undeleteMs, trashMs, createdAtMs, data } = volume;
  const described = { uuid, name, owner, readOnly, capacityBytes, inodesMax, onDelete, undeleteMs, trashMs, createdAtMs, data };
  const copy = `${meta}.dump-${randomUUID()}`;
  try {
    await MetaPlace.of(dataDir, uuid).copyTo(copy, { uuid, readOnly }, clock);
    const head = { format: "anax-volume" as const, version: DUMP_VERSION, at: isoText(clock.wallMs()), volume: described };
    await pipeline(Readable.from(inChunks(dumpLines(head, dumpedRows(copy)))), createGzip(), out);
  } catch (error) {
    throw error instanceof AnaxError ? error : diskErrorOf(error, { volume: name });
  } finally {
    await removeSqlite(copy);
  }
}

/** Each chunk is a job of its own for who compresses it: a line is too little for that. */
function* inChunks(lines: Iterable<string>): Iterable<Buffer> {
  let chunk = "";
  for (const line of lines) {
    chunk += line;
    if (chunk.length < CHUNK_SIGNS) continue;
    yield Buffer.from(chunk);
    chunk = "";
  }
  yield Buffer.from(chunk);
}

/**
 * Reads the metadata of a dump into SQLite, checks them, and lets `use` take them; whatever is wrong with the file, or fails, leaves nothing behind. Throws
 * `disk.corrupt`, `disk.newer-format`, `volume.exists` where there are metadata in the place of that volume.
 */
export async function loadMetadata<T>(
  dataDir: string,
  { file, clock }: { readonly file: string; readonly clock: Clock },
  use: (path: string, volume: DumpedVolume) => Promise<T>,
): Promise<T> {
  const { head, rows } = await readDump(file);
  const { dir, meta } = volumePaths(dataDir, head.volume.uuid);
  if (existsSync(meta)) throw new AnaxError("volume.exists", { volume: head.volume.name, uuid: head.volume.uuid });
  const part = `${meta}.load-${randomUUID()}`;
  try {
    await mkdir(dir, { recursive: true, mode: 0o750 });
    await loadRows(part, rows);
    {
      await using ledger = openSqliteLedger(part, clock);
      const [flaw] = await ledger.check(1);
      if (flaw !== undefined) throw new AnaxError("disk.corrupt", { file, reason: flaw.kind, id: flaw.id });
    }
    return await use(part, head.volume);
  } catch (error) {
    throw error instanceof AnaxError ? error : diskErrorOf(error, { file });
  } finally {
    await removeSqlite(part);
  }
}

/** Metadata in SQLite, closed, as those of a volume of this data directory. */
export async function placeMetadata(dataDir: string, uuid: string, path: string): Promise<void> {
  const { dir, meta } = volumePaths(dataDir, uuid);
  await removeSqlite(meta); // SQLite would play back what is left of metadata that were here before
  await rename(path, meta);
  MetaPlace.create(dataDir, uuid, undefined);
  await syncDirectory(dir);
  await syncDirectory(volumesDir(dataDir));
}
