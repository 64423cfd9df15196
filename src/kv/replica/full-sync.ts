import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import type { Log } from "../../base/log.ts";
import { NewFile } from "../persist/snapshot-file.ts";
import { piecesOf } from "../persist/pieces.ts";
import type { SnapshotSlot } from "../persist/snapshot.ts";
import { beginRdb } from "../persist/rdb-of-store.ts";
import type { Store } from "../store.ts";
import type { Replica } from "./replica.ts";

interface FullSync {
  /** It has sent SYNC, and expects nothing before the snapshot. */
  readonly older: boolean;
  readonly log: Log;
  /** Called at the moment that the snapshot shows. */
  readonly onMoment: () => void;
}

/** Sends a replica all keys as they are at one moment; from then on what is changed is kept for it. Whatever goes wrong, its connection is closed. */
export async function sendSnapshot(store: Store, replica: Replica, sync: FullSync): Promise<void> {
  const { log } = sync;
  const address = replica.client.address;
  try {
    // One at a time, the replicas that came first too.
    while (store.snapshots.busy) await store.snapshots.free();
    if (replica.client.closing) return;
    using slot = store.snapshots.reserve();
    const begin = (): AsyncGenerator<Buffer, void> => beginAtOnce(store, replica, slot, sync);
    const byMark = replica.client.offers.eof && store.parameters["repl-diskless-sync"];
    const bytes = byMark ? await sendUntilMark(replica, begin()) : await sendWithLength(store, replica, begin);
    log.info("store.replica-synced", { address, bytes });
  } catch (error) {
    log.warn("store.replica-failed", { address, error });
    replica.drop();
  }
}

function beginAtOnce(store: Store, replica: Replica, slot: SnapshotSlot, { older, onMoment }: FullSync): AsyncGenerator<Buffer, void> {
  const encoder = beginRdb(store, [...store.replication!.snapshotFields, ["aof-base", "0"]]);
  const chunks = slot.begin(encoder, () => store.parameters["rdb-key-save-delay"] / 1000);
  replica.state = "snapshot";
  if (!older) replica.send(Buffer.from(`+FULLRESYNC ${store.replicationId} ${store.replicationOffset}\r\n`));
  onMoment();
  return chunks;
}

/** As it is made, between two marks: nobody knows before how long it will be. */
async function sendUntilMark(replica: Replica, chunks: AsyncIterable<Buffer>): Promise<number> {
  const mark = randomBytes(20).toString("hex");
  replica.send(Buffer.from(`$EOF:${mark}\r\n`));
  const bytes = await sendAll(replica, chunks);
  replica.send(Buffer.from(mark));
  replica.state = "acknowledging";
  return bytes;
}

/** With its length before it, for which it has to be written to a file first. */
async function sendWithLength(store: Store, replica: Replica, begin: () => AsyncGenerator<Buffer, void>): Promise<number> {
  const path = store.persistence!.temporaryFile(`temp-replica-${replica.client.id}.rdb`);
  try {
    const file = await NewFile.create(path, `${path}.new`);
    await file.fill(begin());
    replica.send(Buffer.from(`$${file.bytes}\r\n`));
    await sendAll(replica, piecesOf(path, undefined), file.bytes);
    return file.bytes;
  } finally {
    await rm(path, { force: true });
  }
}

/** As fast as it takes them. After `wholeBytes`, if that is known, what is changed follows at once. */
async function sendAll(replica: Replica, chunks: AsyncIterable<Buffer>, wholeBytes?: number): Promise<number> {
  let bytes = 0;
  for await (const chunk of chunks) {
    if (replica.client.closing) throw new Error("the replica has gone");
    replica.send(chunk);
    bytes += chunk.length;
    if (bytes === wholeBytes) replica.goOnline();
    await replica.client.output.drained?.();
  }
  return bytes;
}
