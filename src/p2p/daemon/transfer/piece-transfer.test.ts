import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hasCode } from "../../../../test/kit/errors.ts";
import { TASK_ID, addressOf, fetchPiece, holdPieces, never, openClient, startServer } from "../../../../test/kit/transfer.ts";

const KIB = 1024;

for (const sendfile of [true, false]) {
  suite(`pieces between our own client and server, sendfile ${sendfile}`, () => {
    test("arrive byte for byte, whatever their length, pipelined and through buffers smaller than they are", async () => {
      const odd = [0, 1, 3, 4095, 4096, 4097, 16 * KIB, 16 * KIB + 1, 64 * KIB - 150, 300_001, 1_048_576, 5_000_003];
      using held = holdPieces([...odd, ...odd]);
      await using server = await startServer(held, { sendfile, uploadsMax: 3, uploadBufferBytes: "64KiB" });
      await using client = openClient({ fetchBufferBytes: "128KiB", fetchBuffersMax: 2 });
      const fetched = await Promise.all(odd.concat(odd).map((_, index) => fetchPiece(client, addressOf(server), index)));
      for (const [index, { writer, receipt }] of fetched.entries()) {
        assert.ok(writer.bytes.equals(held.bytesOf(index)), `piece ${index}`);
        assert.equal(receipt.head.lengthBytes, held.bytesOf(index).length);
        assert.equal(receipt.outcome, "stored");
      }
      assert.equal(held.uploadedBytes, held.content.length);
      assert.equal(held.leases, 0);
      assert.equal(client.inFlight(addressOf(server)), 0);
    });

    test("arrive over a connection each when the parent keeps none", async () => {
      using held = holdPieces([10, 500_000, 0, 70_000]);
      await using server = await startServer(held, { sendfile });
      await using client = openClient();
      const fetched = await Promise.all([0, 1, 2, 3, 3, 2, 1, 0].map((index) => fetchPiece(client, addressOf(server, false), index)));
      for (const { writer, receipt } of fetched) assert.ok(writer.bytes.equals(held.bytesOf(receipt.head.index)));
    });
  });
}

test("many small pieces share two connections", async () => {
  const lengths = Array.from({ length: 400 }, (_, index) => index % 97);
  using held = holdPieces(lengths);
  await using server = await startServer(held);
  await using client = openClient();
  const fetched = await Promise.all(lengths.map((_, index) => fetchPiece(client, addressOf(server), index)));
  assert.ok(fetched.every(({ writer }, index) => writer.bytes.equals(held.bytesOf(index))));
});

test("a piece that is not there fails alone", async () => {
  using held = holdPieces([100_000, 100_000]);
  await using server = await startServer(held);
  await using client = openClient();
  const [first, missing, second] = await Promise.allSettled([0, 7, 1].map((index) => fetchPiece(client, addressOf(server), index)));
  assert.equal(first?.status, "fulfilled");
  assert.equal(second?.status, "fulfilled");
  assert.ok(missing?.status === "rejected" && hasCode("piece.not-found")(missing.reason));
});

test("an aborted piece fails with the reason, others on its connection arrive", async () => {
  using held = holdPieces([20_000_000, 50_000, 50_000]);
  await using server = await startServer(held);
  await using client = openClient({ fetchConnectionsPerParent: 1 });
  const abort = new AbortController();
  const big = fetchPiece(client, addressOf(server), 0, abort.signal);
  const rest = Promise.all([1, 2].map((index) => fetchPiece(client, addressOf(server), index)));
  abort.abort(new Error("changed my mind"));
  await assert.rejects(big, /changed my mind/);
  for (const { writer, receipt } of await rest) assert.ok(writer.bytes.equals(held.bytesOf(receipt.head.index)));
});

const refuse = (): never => {
  throw new Error("no thanks");
};

test("a refusal by the receiver fails only that piece", async () => {
  using held = holdPieces([300_000, 300_000]);
  await using server = await startServer(held);
  await using client = openClient({ fetchConnectionsPerParent: 1 });
  const options = { parent: addressOf(server), index: 0, open: refuse, signal: never };
  const refused = client.fetch({ ...options, taskId: TASK_ID });
  const other = fetchPiece(client, addressOf(server), 1);
  await assert.rejects(refused, /no thanks/);
  assert.ok((await other).writer.bytes.equals(held.bytesOf(1)));
});

test("sockets to many parents stay within their limit", async () => {
  using held = holdPieces([40_000]);
  await using scope = new AsyncDisposableStack();
  const servers = [];
  for (let i = 0; i < 5; i++) servers.push(scope.use(await startServer(held)));
  await using client = openClient({ fetchConnectionsMax: 2, fetchBuffersMax: 1 });
  const fetched = await Promise.all([...servers, ...servers].map((server) => fetchPiece(client, addressOf(server), 0)));
  assert.ok(fetched.every(({ writer }) => writer.bytes.equals(held.content)));
});

test("a stopped client cancels what is under way and takes nothing new", async () => {
  using held = holdPieces([30_000_000]);
  await using server = await startServer(held);
  const client = openClient();
  const fetching = assert.rejects(fetchPiece(client, addressOf(server), 0), hasCode("download.cancelled"));
  await client[Symbol.asyncDispose]();
  await fetching;
  await assert.rejects(fetchPiece(client, addressOf(server), 0), hasCode("download.cancelled"));
});

test("a server that stops lets the piece on its way finish", async () => {
  using held = holdPieces([3_000_000]);
  const server = await startServer(held);
  await using client = openClient();
  const fetching = fetchPiece(client, addressOf(server), 0);
  while (server.uploadsInFlight === 0) await new Promise((resolve) => setImmediate(resolve));
  await server[Symbol.asyncDispose]();
  assert.ok((await fetching).writer.bytes.equals(held.content));
  await assert.rejects(fetchPiece(client, addressOf(server), 0), hasCode("rpc.unavailable"));
});
