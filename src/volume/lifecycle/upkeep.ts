import { constants } from "node:os";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import type { Flaw, LedgerCount, VolumeLedger } from "../meta/ledger.ts";
import { ROOT_INO, type VolumeVerbs } from "../meta/verbs.ts";
import { check, collect, findStrangers, type Collected, type Strangers } from "./collect.ts";
import { openBlobs } from "./open-blobs.ts";
import { MetaPlace } from "./open-meta.ts";
import type { VolumeRecord } from "./volume-record.ts";

type OnProgress = (done: { readonly blobs: number; readonly bytes: number }) => void;

/** Verbs of nobody: to look at a volume without being one of its clients. */
export const NOBODY = -1;
const SYMLINK_LIKE = new Set(["", "."]);

export interface GcOptions {
  readonly graceMs: number;
  readonly scan: boolean;
  readonly quarantine: boolean;
  readonly onProgress?: OnProgress;
}

export async function collectVolume(
  dataDir: string,
  volume: VolumeRecord,
  { graceMs, scan, quarantine, onProgress = () => undefined }: GcOptions,
): Promise<{ readonly collected: Collected; readonly strangers: Strangers | undefined }> {
  const { signal } = new AbortController();
  await using ledger = await ledgerOf(dataDir, volume);
  await using blobs = await openBlobs(dataDir, volume, realClock);
  const collected = await collect({ ledger, blobs, graceMs, signal, onProgress });
  return { collected, strangers: scan ? await findStrangers({ ledger, blobs, signal }, { quarantine }) : undefined };
}

export interface FsckOptions {
  readonly data: boolean;
  readonly repair: boolean;
  readonly onProgress?: OnProgress;
}

/** The flaws that are left, and how many a repair has mended. */
export async function checkVolume(
  dataDir: string,
  volume: VolumeRecord,
  { data, repair, onProgress = () => undefined }: FsckOptions,
): Promise<{ readonly flaws: readonly Flaw[]; readonly repaired: number }> {
  const { signal } = new AbortController();
  await using ledger = await ledgerOf(dataDir, volume);
  await using blobs = await openBlobs(dataDir, volume, realClock);
  const flaws = await check({ ledger, blobs, data, signal, onProgress });
  if (!repair || flaws.length === 0) return { flaws, repaired: 0 };
  await ledger.recount();
  const left = await check({ ledger, blobs, data, signal, onProgress });
  return { flaws: left, repaired: flaws.length - left.length };
}

export async function countVolume(dataDir: string, volume: VolumeRecord): Promise<LedgerCount> {
  await using ledger = await ledgerOf(dataDir, volume);
  return await ledger.count();
}

/** Runs `use` with verbs that belong to no session. */
export async function withVerbs<T>(dataDir: string, volume: VolumeRecord, use: (verbs: VolumeVerbs) => Promise<T>): Promise<T> {
  await using verbs = await MetaPlace.of(dataDir, volume.uuid).verbs({ sessionId: NOBODY, clock: realClock });
  return await use(verbs);
}

/** The inode of a path in the volume; symbolic links are not followed. Throws `input.invalid` when there is none. */
export async function inodeOf(verbs: VolumeVerbs, path: string): Promise<number> {
  let ino = ROOT_INO;
  for (const name of path.split("/").filter((part) => !SYMLINK_LIKE.has(part))) {
    const found = await verbs.lookup(ino, Buffer.from(name).toString("latin1"));
    if (typeof found === "number")
      throw new AnaxError("input.invalid", {
        path,
        reason: found === constants.errno.ENOTDIR ? "not a directory" : "no such file or directory",
      });
    ino = found.ino;
  }
  return ino;
}

const ledgerOf = (dataDir: string, { uuid }: VolumeRecord): Promise<VolumeLedger> => MetaPlace.of(dataDir, uuid).ledger(realClock);
