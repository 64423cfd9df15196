import { readFile } from "node:fs/promises";
import { workerData, type MessagePort } from "node:worker_threads";
import { realClock } from "../../../base/clock.ts";
import { errorOf, systemCodeOf } from "../../../base/errors.ts";
import { Semaphore } from "../../../base/limits.ts";
import { createRandom } from "../../../base/random.ts";
import { backoffMs, type Backoff } from "../../../base/retry.ts";
import type { Blob } from "../../meta/extents.ts";
import { openSqliteLedger } from "../../meta/sqlite/sqlite-ledger.ts";
import { blobIdOf } from "../blob-store.ts";
import { blobPath, LocalBlobs } from "../local-blobs.ts";
import { BlobReader, type BlobReaderOptions } from "../peers/blob-reader.ts";
import { DaemonBlobs } from "../peers/daemon-blobs.ts";
import { PEER_WAIT_MS } from "../peers/peer-policy.ts";
import { ReadCounts } from "../peers/read-counts.ts";
import { S3Blobs } from "../s3/s3-blobs.ts";
import { CacheFiles } from "./cache-files.ts";
import { LinkSlots } from "./link-slots.ts";
import type { FromMover, MoverStart, PeersBy, ToMover } from "./messages.ts";

/** Blobs on their way at once, each way: what is read does not wait for what is written. */
const AT_ONCE = 8;
/** More cannot wait: the backlog is bounded in bytes, and a mount has few requests under way. */
const WAITING_MAX = 1_000_000;
const RETRY: Backoff = { attemptsMax: Number.POSITIVE_INFINITY, firstMs: 500, maxMs: 5000 };
/** So often it is looked for what a process has left that died before it had uploaded it. */
const ADOPT_MS = 60_000;
/** So often it is told what has been counted, where that has changed. */
const COUNTS_MS = 2000;

const { start, port } = workerData as { start: MoverStart; port: MessagePort }; // given by mover.ts
const random = createRandom();
const up = new LinkSlots({ most: AT_ONCE, waitingMax: WAITING_MAX, clock: realClock });
const down = new Semaphore({ slots: AT_ONCE, waitingMax: WAITING_MAX });
const cache = new CacheFiles(start.cache, start.data.cacheBytesMax);
const remote = await S3Blobs.open(start.data, start.volumeUuid, realClock);
const counts = new ReadCounts(start.counts);
const reader = new BlobReader({
  store: (blob, stop) => remote.content(blob, stop),
  peers: start.data.peers && start.peers !== undefined ? peersBy(start.peers) : undefined,
  waitMs: start.peers?.waitMs ?? PEER_WAIT_MS,
  counts,
  clock: realClock,
});
const ended = new AbortController();
const uploading = new Set<number>();

port.on("message", (message: ToMover) => {
  switch (message.kind) {
    case "upload":
      return void upload(message.blob);
    case "fetch":
      return void fetchBlob(message.blob);
    case "end":
      ended.abort();
      return port.close();
  }
});
tell({ kind: "ready" });
if (start.data.durability === "local") void adoptForEver();
void tellCounts();

function tell(message: FromMover): void {
  port.postMessage(message, []);
}

/** Until it is done: nobody else has it. */
async function upload(blob: Blob): Promise<void> {
  uploading.add(blob.id);
  for (let attempt = 1; !ended.signal.aborted; attempt++) {
    try {
      await up.run(ended.signal, () => uploadOnce(blob));
      uploading.delete(blob.id);
      return tell({ kind: "uploaded", id: blob.id });
    } catch (thrown) {
      const { code, details } = errorOf(thrown);
      tell({ kind: "upload-failed", id: blob.id, code, details });
      await realClock.sleep(backoffMs(attempt, RETRY, random), ended.signal).catch(() => undefined);
    }
  }
}

async function uploadOnce(blob: Blob): Promise<void> {
  const path = blobPath(start.staged, blob);
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (thrown) {
    if (systemCodeOf(thrown) === "ENOENT") return; // collected meanwhile, or another process was first
    throw thrown;
  }
  await remote.put(blob, [content]);
  await cache.adopt(blob, path);
}

async function fetchBlob(blob: Blob): Promise<void> {
  try {
    using _slot = await down.acquire(ended.signal);
    if (!(await cache.has(blob))) await cache.add(blob, await reader.content(blob, ended.signal));
    tell({ kind: "fetched", id: blob.id });
  } catch (thrown) {
    const { code, details } = errorOf(thrown);
    tell({ kind: "fetch-failed", id: blob.id, code, details });
  }
}

function urlOf(blob: Blob, validMs: number): Promise<string> {
  return remote.readUrl(blob, validMs);
}

function peersBy({ daemonSocket }: PeersBy): BlobReaderOptions["peers"] {
  const daemon = new DaemonBlobs({ socketPath: daemonSocket, clock: realClock, urlOf });
  return (blob, stop, onBegun) => daemon.content(blob, stop, onBegun);
}

async function tellCounts(): Promise<void> {
  for (let told = ""; !ended.signal.aborted;) {
    await realClock.sleep(COUNTS_MS, ended.signal).catch(() => undefined);
    const resting = reader.resting()?.reason;
    const now = JSON.stringify([counts.values, resting]);
    if (now === told || ended.signal.aborted) continue;
    await counts.write(start.countsPath, resting).catch(() => undefined); // a disk that fails fails whoever uses it
    told = now;
  }
}

async function adoptForEver(): Promise<void> {
  while (!ended.signal.aborted) {
    await adopt().catch(() => undefined); // a disk that fails fails whoever uses it; the next round looks again
    await realClock.sleep(ADOPT_MS, ended.signal).catch(() => undefined);
  }
}

/** Only what is content of a file: the rest is the collector's. */
async function adopt(): Promise<void> {
  await using ledger = openSqliteLedger(start.meta, realClock);
  await using staged = new LocalBlobs(start.staged);
  for await (const { key } of staged.list()) {
    const id = blobIdOf(key.slice(key.indexOf("/") + 1));
    if (id === undefined || uploading.has(id)) continue;
    const [blob] = await ledger.live(id - 1, 1);
    if (blob?.id === id) void upload(blob);
  }
}
