import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { suite, test } from "node:test";
import { holdPieces, rawConnection, TASK_ID, transferConfig, transferMetrics } from "../../../../test/kit/transfer.ts";
import { silentLog } from "../../../base/log.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { encodeGreeting } from "../../../wire/mesh/frames.ts";
import { encodeClose, encodeDownloadPiece } from "../../../wire/vortex/codec.ts";
import { startPieceServer, type BlockHandover } from "./piece-server.ts";

const GREETING = encodeGreeting("10.0.0.9-raw");
const REQUEST = Buffer.from(encodeDownloadPiece({ kind: "standard", id: 0, taskId: TASK_ID, pieceNumber: 0 }));

/** A server whose connections of our own kind tell back what they hear. */
async function aServer(scope: AsyncDisposableStack, blocks: BlockHandover = echo) {
  const held = scope.use(holdPieces([10]));
  const clock = new VirtualClock();
  const options = { host: "127.0.0.1", port: 0, store: held.store, clock, log: silentLog, metrics: transferMetrics() };
  const server = scope.use(await startPieceServer({ ...options, config: transferConfig({ uploadRequestMs: "10s" }), blocks }));
  return { server, clock, held };
}

const echo: BlockHandover = ({ socket, first }) => ({
  run: () =>
    new Promise((resolve) => {
      socket.on("data", (chunk: Buffer) => void socket.write(chunk)).once("end", () => socket.end());
      socket.once("close", () => resolve());
      socket.write(Buffer.concat([Buffer.from("blocks:"), first]));
    }),
  drain: () => void socket.destroy(),
  destroy: () => void socket.destroy(),
});

/** All that comes until the server closes. */
async function heard(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => void chunks.push(chunk)).on("error", () => undefined);
  socket.once("end", () => socket.destroy());
  await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(chunks);
}

/** Written a byte at a time, or all at once. */
async function say(socket: Socket, bytes: Buffer, inParts: boolean): Promise<void> {
  for (const part of inParts ? Array.from(bytes, (byte) => Buffer.from([byte])) : [bytes]) {
    await new Promise<void>((resolve) => socket.write(part, () => resolve()));
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve)); // so that it comes alone
  }
}

suite("on one port", () => {
  for (const inParts of [false, true]) {
    const how = inParts ? "a byte at a time" : "at once";
    test(`our own peers are handed over with all that they said, ${how}`, async () => {
      await using scope = new AsyncDisposableStack();
      const { server } = await aServer(scope);
      const socket = await rawConnection(server.port);
      const answer = heard(socket);
      await say(socket, Buffer.concat([GREETING, Buffer.from("and more")]), inParts);
      socket.end();
      assert.equal((await answer).toString("latin1"), `blocks:${GREETING.toString("latin1")}and more`);
    });

    test(`strangers are answered in Vortex, ${how}`, async () => {
      await using scope = new AsyncDisposableStack();
      const { server, held } = await aServer(scope);
      const socket = await rawConnection(server.port);
      const answer = heard(socket);
      await say(socket, Buffer.concat([REQUEST, encodeClose(0)]), inParts);
      socket.end();
      assert.ok((await answer).subarray(-10).equals(held.bytesOf(0)));
    });
  }
});

test("nobody takes our own peers over while the daemon starts: they are closed, and come again", async () => {
  await using scope = new AsyncDisposableStack();
  const { server } = await aServer(scope, () => undefined);
  const socket = await rawConnection(server.port);
  const answer = heard(socket);
  socket.write(GREETING);
  assert.equal((await answer).length, 0);
});

suite("a connection that says too little to be known is closed", () => {
  for (const bytes of [0, 1]) {
    test(`at its deadline: ${bytes} bytes`, async () => {
      await using scope = new AsyncDisposableStack();
      const { server, clock } = await aServer(scope);
      const socket = await rawConnection(server.port);
      const answer = heard(socket);
      socket.write(GREETING.subarray(0, bytes));
      for (let waited = 0; !socket.destroyed; waited++) {
        assert.ok(waited <= 11, "ten seconds and a turn");
        await new Promise((resolve) => setImmediate(resolve));
        await clock.advance(1000);
        for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
      }
      assert.equal((await answer).length, 0);
      assert.equal(clock.pending, 0);
    });

    test(`when its side is closed: ${bytes} bytes`, async () => {
      await using scope = new AsyncDisposableStack();
      const { server, clock } = await aServer(scope);
      const socket = await rawConnection(server.port);
      const answer = heard(socket);
      socket.end(GREETING.subarray(0, bytes));
      assert.equal((await answer).length, 0);
      assert.equal(clock.pending, 0);
    });
  }

  test("when the server stops", async () => {
    await using scope = new AsyncDisposableStack();
    const { server, clock } = await aServer(scope);
    const socket = await rawConnection(server.port);
    const answer = heard(socket);
    socket.write(GREETING.subarray(0, 1));
    while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve)); // it is waited for
    await server[Symbol.asyncDispose]();
    assert.equal((await answer).length, 0);
    assert.equal(clock.pending, 0);
  });
});
