import { eachLimited } from "../../base/each-limited.ts";
import { AnaxError } from "../../base/errors.ts";
import { objectNameOf, type BlobStore } from "../data/blob-store.ts";
import type { Blob } from "../meta/extents.ts";
import type { Flaw, VolumeLedger } from "../meta/ledger.ts";

/** Blobs of one transaction. */
const BATCH = 256;
/** A store elsewhere takes its time for each of them. */
const AT_ONCE = 16;
/** Steps that remove what is large and has no name; each removes some gigabytes. */
const ORPHAN_STEPS_MAX = 100_000;
/** More strangers than this share of all objects, and than so many, mean that something else is wrong: a ledger from a backup, another volume's place. */
const STRANGERS_SHARE_MAX = 0.01;
const STRANGERS_MIN = 16;
/** Strangers that are named; the others are counted. */
const NAMED_MAX = 1000;
const FLAWS_MAX = 1000;

export interface CollectOptions {
  readonly ledger: VolumeLedger;
  readonly blobs: BlobStore;
  readonly graceMs: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (done: { readonly blobs: number; readonly bytes: number }) => void;
}

export interface Collected {
  readonly blobs: number;
  readonly bytes: number;
  /** Written by clients that died before they committed them; the next run deletes them. */
  readonly abandoned: number;
  /** Files and directories that were in the trash for long enough; what only they used goes with a later run. */
  readonly expired: number;
}

/**
 * Deletes what the ledger names, and nothing else; whatever fails ends the run, and the next one goes on there. Throws `disk.io`, `volume.unreachable`, …
 * Objects are never looked for: see `findStrangers`.
 */
export async function collect({ ledger, blobs, graceMs, signal, onProgress = () => undefined }: CollectOptions): Promise<Collected> {
  const expired = await expire(ledger, signal);
  for (let step = 0; step < ORPHAN_STEPS_MAX && (await ledger.removeOrphans()); step++) signal.throwIfAborted();
  const abandoned = await ledger.doomAbandoned(graceMs);
  const done = { blobs: 0, bytes: 0 };
  for (;;) {
    signal.throwIfAborted();
    const claimed = await ledger.claim({ graceMs, countMax: BATCH });
    if (claimed.length === 0) return { ...done, abandoned, expired };
    await eachLimited(claimed, { atOnce: AT_ONCE, signal }, (blob) => blobs.remove(blob));
    await ledger.forget(claimed.map(({ id }) => id));
    done.blobs += claimed.length;
    done.bytes += bytesOf(claimed);
    onProgress(done);
  }
}

async function expire(ledger: VolumeLedger, signal: AbortSignal): Promise<number> {
  for (let all = 0, step = 0; ; step++) {
    signal.throwIfAborted();
    const some = step < ORPHAN_STEPS_MAX ? await ledger.expireTrash() : 0;
    if (some === 0) return all;
    all += some;
  }
}

export interface Strangers {
  readonly objects: number;
  readonly strangers: number;
  /** Of the first thousand. */
  readonly keys: readonly string[];
  readonly quarantined: number;
}

/**
 * Objects that the ledger does not know: reported, and moved aside when a person asks for it; never deleted. Looks twice, so that what comes and goes
 * meanwhile is none. An error in either list ends it before anything is moved. Throws `volume.too-many-strangers`.
 */
export async function findStrangers(
  { ledger, blobs, signal }: Pick<CollectOptions, "ledger" | "blobs" | "signal">,
  { quarantine }: { readonly quarantine: boolean },
): Promise<Strangers> {
  const first = await scan(ledger, blobs, signal);
  const second = first.strangers.size === 0 ? first : await scan(ledger, blobs, signal);
  const strangers = [...second.strangers].filter((key) => first.strangers.has(key));
  if (strangers.length > Math.max(STRANGERS_MIN, second.objects * STRANGERS_SHARE_MAX) && quarantine)
    throw new AnaxError("volume.too-many-strangers", {
      strangers: strangers.length,
      objects: second.objects,
      examples: strangers.slice(0, 5),
    });
  if (quarantine) for (const key of strangers) await blobs.quarantine(key);
  return {
    objects: second.objects,
    strangers: strangers.length,
    keys: strangers.slice(0, NAMED_MAX),
    quarantined: quarantine ? strangers.length : 0,
  };
}

async function scan(
  ledger: VolumeLedger,
  blobs: BlobStore,
  signal: AbortSignal,
): Promise<{ readonly objects: number; readonly strangers: ReadonlySet<string> }> {
  const strangers = new Set<string>();
  let objects = 0;
  let batch: { readonly id: number; readonly key: string }[] = [];
  // A blob has a row before it has an object: what is listed and has none now is none of ours. After a loss of power an id may have been given twice, and only
  // one of the two objects is what its row means.
  const flush = async (): Promise<void> => {
    const known = await ledger.known(batch.map(({ id }) => id));
    for (const { id, key } of batch) {
      const sha256 = known.get(id);
      if (sha256 === undefined || !key.endsWith(`/${objectNameOf({ id, sha256 })}`)) strangers.add(key);
    }
    batch = [];
  };
  for await (const { key, blobId } of blobs.list()) {
    signal.throwIfAborted();
    objects++;
    if (blobId === undefined) strangers.add(key);
    else batch.push({ id: blobId, key });
    if (batch.length >= BATCH) await flush();
  }
  await flush();
  return { objects, strangers };
}

export interface CheckOptions extends Omit<CollectOptions, "graceMs" | "onProgress"> {
  /** Reads all content, and compares it with its digests. */
  readonly data: boolean;
  readonly onProgress?: (done: { readonly blobs: number; readonly bytes: number }) => void;
}

/** Everything that is wrong with a volume, as far as it can be seen: at most a thousand flaws. Changes nothing. */
export async function check({ ledger, blobs, data, signal, onProgress = () => undefined }: CheckOptions): Promise<readonly Flaw[]> {
  const flaws = [...(await ledger.check(FLAWS_MAX))];
  const done = { blobs: 0, bytes: 0 };
  for (let after = 0; flaws.length < FLAWS_MAX;) {
    const batch = await ledger.live(after, BATCH);
    if (batch.length === 0) break;
    const found: (Flaw | undefined)[] = [];
    await eachLimited(batch, { atOnce: AT_ONCE, signal }, async (blob, _, index) => {
      found[index] = await flawOf(blobs, blob, data);
    });
    flaws.push(...found.filter((flaw) => flaw !== undefined));
    after = batch.at(-1)!.id; // not empty
    done.blobs += batch.length;
    done.bytes += bytesOf(batch);
    onProgress(done);
  }
  return flaws.slice(0, FLAWS_MAX);
}

async function flawOf(blobs: BlobStore, blob: Blob, data: boolean): Promise<Flaw | undefined> {
  const kind = await blobs.inspect(blob, { content: data });
  return kind === "good" ? undefined : { kind: `blob-${kind}`, id: blob.id, found: 0, expected: blob.bytes };
}

const bytesOf = (blobs: readonly Blob[]): number => blobs.reduce((sum, { bytes }) => sum + bytes, 0);
