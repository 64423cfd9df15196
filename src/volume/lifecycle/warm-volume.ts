import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { eachLimited } from "../../base/each-limited.ts";
import { AnaxError } from "../../base/errors.ts";
import { LocalBlobs } from "../data/local-blobs.ts";
import { ReadCounts } from "../data/peers/read-counts.ts";
import { CacheFiles } from "../data/staged/cache-files.ts";
import type { PeersBy } from "../data/staged/messages.ts";
import { Mover } from "../data/staged/mover.ts";
import { CHUNK_BYTES, type Blob } from "../meta/extents.ts";
import type { VolumeVerbs } from "../meta/verbs.ts";
import { inodeOf, withVerbs } from "./upkeep.ts";
import { volumePaths } from "./volume-paths.ts";
import type { VolumeRecord } from "./volume-record.ts";

export interface WarmOptions {
  /** From the root of the volume; a directory with all below it, or a file. */
  readonly path: string;
  /** As in `OpenVolumeOptions`. */
  readonly peers: PeersBy | undefined;
  readonly cacheDir: string | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (warmed: Warmed) => void;
}

export interface Warmed {
  readonly blobs: number;
  readonly bytes: number;
  /** Of all bytes: those that are here now, wherever they came from. */
  readonly doneBytes: number;
  /** Those that lay here before. */
  readonly cachedBytes: number;
  readonly peerBytes: number;
  readonly storeBytes: number;
}

const AT_ONCE = 16;
const BATCH = 1024;
const ENTRIES = 1000;

/**
 * Brings content of a volume in a bucket into the cache of this machine, from peers where the volume asks them; a repetition goes on where one was ended. Throws
 * `input.invalid`, `limit.exceeded` for more than the cache holds, `volume.unreachable`, `disk.full`, `disk.io`, and for what the bucket has lost `piece.not-found` and
 * `disk.corrupt`.
 */
export async function warmVolume(dataDir: string, volume: VolumeRecord, options: WarmOptions): Promise<Warmed> {
  const { data, uuid } = volume;
  if (data.kind === "directory") throw new AnaxError("input.invalid", { volume: volume.name, reason: "its content lies on this machine" });
  return withVerbs(dataDir, volume, async (verbs) => {
    const root = await inodeOf(verbs, options.path);
    let [blobs, bytes] = [0, 0];
    for await (const blob of blobsBelow(verbs, root, options.signal)) [blobs, bytes] = [blobs + 1, bytes + blob.bytes];
    if (bytes > data.cacheBytesMax) throw new AnaxError("limit.exceeded", { bytes, cacheBytesMax: data.cacheBytesMax, path: options.path });
    const { cache: ownCache, ...paths } = volumePaths(dataDir, uuid);
    const cache = options.cacheDir === undefined ? ownCache : join(options.cacheDir, uuid);
    const counts = new ReadCounts();
    const countsPath = join(paths.reads, `${randomUUID()}.json`);
    // Durability `remote`: what waits here to be uploaded is the mounts' to upload.
    const place = { ...paths, cache, data: { ...data, durability: "remote" as const }, volumeUuid: uuid };
    await using mover = await Mover.start({ ...place, peers: options.peers, counts: counts.shared, countsPath }, () => undefined);
    const kept = new CacheFiles(cache, data.cacheBytesMax);
    await using staged = new LocalBlobs(paths.staged);
    let [doneBytes, cachedBytes] = [0, 0];
    const warmed = (): Warmed => {
      const { peerBytes, storeBytes } = counts.values;
      return { blobs, bytes, doneBytes, cachedBytes, peerBytes, storeBytes };
    };
    const bring = async (blob: Blob, stop: AbortSignal): Promise<void> => {
      const isHere = (await kept.has(blob)) || (await staged.inspect(blob, { content: false })) === "good";
      if (isHere) cachedBytes += blob.bytes;
      else await orStopped(mover.fetch(blob), stop);
      doneBytes += blob.bytes;
      options.onProgress(warmed());
    };
    for await (const batch of inBatches(blobsBelow(verbs, root, options.signal)))
      await eachLimited(batch, { atOnce: AT_ONCE, signal: options.signal }, bring);
    await counts.write(countsPath);
    return warmed();
  });
}

/** A store that does not answer keeps nobody waiting who does not want it any more. */
async function orStopped(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Each once, file by file. What goes while this looks is passed over. */
async function* blobsBelow(verbs: VolumeVerbs, root: number, signal: AbortSignal): AsyncGenerator<Blob> {
  const seen = new Set<number>();
  const attributes = await verbs.getattr(root);
  const nodes = typeof attributes === "number" ? [] : [attributes];
  for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
    signal.throwIfAborted();
    if (node.kind === "directory") nodes.push(...(await childrenOf(verbs, node.ino)));
    if (node.kind !== "file") continue;
    for (let offset = 0; offset < node.size; offset += CHUNK_BYTES) {
      const map = await verbs.extents(node.ino, offset, CHUNK_BYTES);
      if (typeof map === "number") break;
      for (const { blob } of map.extents) {
        if (seen.has(blob.id)) continue;
        seen.add(blob.id);
        yield blob;
      }
    }
  }
}

async function childrenOf(verbs: VolumeVerbs, ino: number) {
  const children = [];
  for (let cookie = 0; ;) {
    const entries = await verbs.readdir(ino, cookie, ENTRIES, true);
    if (typeof entries === "number") break;
    for (const { attributes } of entries) if (attributes !== undefined) children.push(attributes);
    if (entries.length < ENTRIES) break;
    cookie = entries.at(-1)!.cookie; // not empty
  }
  return children;
}

async function* inBatches(blobs: AsyncIterable<Blob>): AsyncGenerator<readonly Blob[]> {
  let batch: Blob[] = [];
  for await (const blob of blobs) {
    if (batch.push(blob) < BATCH) continue;
    yield batch;
    batch = [];
  }
  yield batch;
}
