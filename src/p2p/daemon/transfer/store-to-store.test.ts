import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { addressOf, never, openClient, startServer } from "../../../../test/kit/transfer.ts";
import { realClock } from "../../../base/clock.ts";
import { silentLog } from "../../../base/log.ts";
import { PiecesConfig } from "../../pieces/config.ts";
import { aContent, readAll, storeAll } from "../../pieces/piece-store.conformance.ts";
import { openPieceStore } from "../../pieces/store.ts";
import type { PieceStore, StoredTask } from "../../pieces/types.ts";
import type { ParentAddress, PieceClient } from "./types.ts";

async function aStore(scope: AsyncDisposableStack): Promise<PieceStore> {
  const dir = await mkdtemp(join(tmpdir(), "anax-transfer-"));
  scope.defer(() => rm(dir, { recursive: true, force: true }));
  return scope.use(await openPieceStore({ dir, clock: realClock, log: silentLog, config: PiecesConfig.parse({}) }));
}

const fetchInto = (task: StoredTask, index: number, how: { client: PieceClient; parent: ParentAddress }) =>
  how.client.fetch({
    ...how,
    taskId: task.meta.id,
    index,
    open: (head) => task.writePiece({ index, expectedCrc32: head.crc32, traffic: "remote-peer", parentId: head.parentId }),
    signal: never,
  });

test("content goes from one store on disk to another and is whole, from parents that keep connections and from those that do not", async () => {
  await using scope = new AsyncDisposableStack();
  const content = aContent({ bytes: 3_000_001, pieceBytes: 200_000, digest: "sha256" });
  const origin = await aStore(scope);
  const held = await origin.open(content.meta);
  await storeAll(held, content);
  await held.finish(never);
  const server = scope.use(await startServer({ store: origin }));
  const client = scope.use(openClient());
  for (const keepsConnection of [true, false]) {
    const copy = await (await aStore(scope)).open(content.meta);
    const how = { client, parent: addressOf(server, keepsConnection) };
    const receipts = await Promise.all(Array.from({ length: content.meta.pieceCount }, (_, index) => fetchInto(copy, index, how)));
    assert.ok(receipts.every(({ outcome }) => outcome === "stored"));
    await copy.finish(never);
    assert.equal(copy.state, "finished");
    assert.ok((await readAll(copy)).equals(content.bytes));
  }
  assert.equal(held.uploadedBytes, 2 * content.bytes.length);
  assert.deepEqual(held.inUse, []);
});

test("a piece that came twice is stored once", async () => {
  await using scope = new AsyncDisposableStack();
  const content = aContent({ bytes: 500_000, pieceBytes: 500_000 });
  const origin = await aStore(scope);
  await storeAll(await origin.open(content.meta), content);
  const server = scope.use(await startServer({ store: origin }));
  const client = scope.use(openClient());
  const copy = await (await aStore(scope)).open(content.meta);
  const how = { client, parent: addressOf(server) };
  const receipts = await Promise.all([fetchInto(copy, 0, how), fetchInto(copy, 0, how)]);
  assert.deepEqual(receipts.map(({ outcome }) => outcome).toSorted(), ["duplicate", "stored"]);
});
