import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { suite, test } from "node:test";
import { hasCode } from "../../../../test/kit/errors.ts";
import { aMeshNode, blocksOf, factsOf, fetchBlocks, heldBytes, meshContent, turnsUntil } from "../../../../test/kit/mesh.ts";
import { playParent } from "../../../../test/kit/transfer.ts";
import { AnaxError, type ErrorCode } from "../../../base/errors.ts";
import { createRandom } from "../../../base/random.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import {
  decodeFrameHeader,
  decodeGreeting,
  encodeCancel,
  encodeEnd,
  encodePieceStart,
  encodeRequest,
  encodeRunHead,
  FRAME_HEADER_BYTES,
  type PieceStart,
} from "../../../wire/mesh/frames.ts";
import { pieceOf } from "../../pieces/piece-store.conformance.ts";

const content = meshContent();
const BODY = pieceOf(content, 1);

const startOf = (stream: number, other: Partial<PieceStart> = {}): Buffer =>
  encodePieceStart({ ...factsOf(content, 1), stream, proof: undefined, ...other });

/** Calls back for each frame of a child that has greeted. */
function onFrames(socket: Socket, hear: (type: string, stream: number) => void): void {
  let unread = Buffer.alloc(0);
  let greeted = false;
  socket.on("data", (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    if (!greeted) {
      const greeting = decodeGreeting(unread);
      if (greeting === undefined) return;
      greeted = true;
      unread = unread.subarray(greeting.consumedBytes);
    }
    while (unread.length >= FRAME_HEADER_BYTES) {
      const { type, stream, lengthBytes } = decodeFrameHeader(unread);
      if (unread.length < FRAME_HEADER_BYTES + lengthBytes) return;
      unread = unread.subarray(FRAME_HEADER_BYTES + lengthBytes);
      hear(type, stream);
    }
  });
}

/** A neighbour that answers each request by hand. */
const aNeighbour = async (scope: AsyncDisposableStack, answer: (socket: Socket, stream: number) => void) => {
  const played = scope.use(
    await playParent((socket) => onFrames(socket, (type, stream) => (type === "request" ? answer(socket, stream) : undefined))),
  );
  return { ip: "127.0.0.1", port: played.port };
};

const wholeOf = (stream: number): Buffer => Buffer.concat([startOf(stream), encodeRunHead(stream, BODY.length), BODY]);

const write =
  (...parts: readonly ((stream: number) => Buffer)[]) =>
  (socket: Socket, stream: number) =>
    void socket.write(Buffer.concat(parts.map((part) => part(stream))));
const run = (bytes: number) => (stream: number) => encodeRunHead(stream, bytes);

suite("a neighbour that answers with", () => {
  const rows: readonly (readonly [string, ErrorCode, (socket: Socket, stream: number) => void])[] = [
    ["bytes that are no frame", "vortex.malformed", write(() => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"))],
    ["an unknown frame", "vortex.malformed", write(() => Buffer.from("0300000000000000", "hex"))],
    ["a request", "vortex.malformed", write((stream) => encodeRequest({ stream, taskId: content.meta.id, piece: 1, orAnother: false }))],
    ["a cancel", "vortex.malformed", write((stream) => encodeCancel(stream))],
    ["another piece", "vortex.malformed", write((stream) => startOf(stream, { piece: 2 }))],
    ["a piece beyond the last", "vortex.malformed", write((stream) => startOf(stream, { piece: 4 }))],
    ["a shorter piece", "vortex.malformed", write((stream) => startOf(stream, { lengthBytes: BODY.length - 1 }))],
    ["other blocks", "vortex.malformed", write((stream) => startOf(stream, { blockBytes: 32_768 }))],
    [
      "a piece twice",
      "vortex.malformed",
      write(
        (stream) => startOf(stream),
        (stream) => startOf(stream),
      ),
    ],
    ["a piece for nobody", "vortex.malformed", write((stream) => startOf(stream + 1))],
    ["an end for nobody", "vortex.malformed", write((stream) => encodeEnd(stream + 1, "busy"))],
    ["blocks for nobody", "vortex.malformed", write((stream) => encodeRunHead(stream + 1, 131_072))],
    ["blocks before their piece", "vortex.malformed", write(run(131_072))],
    ["half a block", "vortex.malformed", write((stream) => startOf(stream), run(1000))],
    [
      "a block and a half",
      "vortex.malformed",
      write(
        (stream) => startOf(stream),
        run(100_000),
        () => BODY.subarray(0, 100_000),
      ),
    ],
    [
      "blocks of 4 GiB",
      "vortex.malformed",
      write(
        (stream) => startOf(stream),
        run(0xffff_ffff),
        () => BODY,
      ),
    ],
    [
      "more blocks than the piece has",
      "vortex.malformed",
      write(
        (stream) => startOf(stream),
        run(BODY.length + 1),
        () => BODY,
        () => BODY,
      ),
    ],
    [
      "other bytes",
      "piece.digest-mismatch",
      write(
        (stream) => startOf(stream),
        run(BODY.length),
        () => Buffer.from(BODY).fill(0, 5, 90),
      ),
    ],
    ["a goodbye", "rpc.unavailable", (socket) => socket.end()],
    ["a piece and a goodbye", "rpc.unavailable", (socket, stream) => socket.end(startOf(stream))],
    ["half of the bytes", "rpc.unavailable", (socket, stream) => socket.end(wholeOf(stream).subarray(0, 150_000))],
    ["a reset", "rpc.unavailable", (socket, stream) => socket.write(startOf(stream), () => socket.resetAndDestroy())],
  ];
  for (const [title, code, answer] of rows) {
    test(title, async () => {
      await using scope = new AsyncDisposableStack();
      const neighbour = await aNeighbour(scope, answer);
      const child = await aMeshNode(scope, { content });
      await assert.rejects(fetchBlocks(child, neighbour, 1).done, hasCode(code));
      assert.equal(child.stored.finished.count, 0);
      const honest = await aMeshNode(scope, { content, whole: true });
      assert.equal((await fetchBlocks(child, honest.address, 1).done).kind, "stored");
    });
  }
});

test("what is wrong with one answer ends all requests of the connection, and the next request opens another", async () => {
  await using scope = new AsyncDisposableStack();
  let answered = 0;
  const neighbour = await aNeighbour(scope, (socket, stream) => {
    answered++;
    if (answered === 3) socket.write(encodeEnd(77, "busy"));
    if (answered === 4) socket.write(encodeEnd(stream, "busy"));
  });
  const child = await aMeshNode(scope, { content });
  const asked = [0, 1, 2].map((piece) => fetchBlocks(child, neighbour, piece).done);
  for (const done of asked) await assert.rejects(done, hasCode("vortex.malformed"));
  assert.deepEqual(await fetchBlocks(child, neighbour, 1).done, { kind: "ended", end: "busy" });
});

test("an answer that drips in is read, whatever the parts", async () => {
  await using scope = new AsyncDisposableStack();
  const random = createRandom(23);
  const neighbour = await aNeighbour(scope, (socket, stream) => {
    const bytes = wholeOf(stream);
    const drip = (at: number): void => {
      const end = Math.min(bytes.length, at + 1 + (at < 60 ? 0 : random.below(30_000)));
      if (at < bytes.length) socket.write(bytes.subarray(at, end), () => setImmediate(() => drip(end)));
    };
    drip(0);
  });
  const child = await aMeshNode(scope, { content });
  assert.equal((await fetchBlocks(child, neighbour, 1).done).kind, "stored");
  assert.ok((await heldBytes(child, 1)).equals(BODY));
});

test("random answers end every request, and none is taken for a piece", async () => {
  await using scope = new AsyncDisposableStack();
  const random = createRandom(29);
  const neighbour = await aNeighbour(scope, (socket, stream) => {
    const bytes = Buffer.concat([startOf(stream), encodeRunHead(stream, 131_072), blocksOf(content, 1)[0]!]);
    for (let i = 0; i < 3; i++) bytes[random.below(40)] = random.below(256);
    socket.end(bytes);
  });
  const child = await aMeshNode(scope, { content });
  for (let round = 0; round < 60; round++) await fetchBlocks(child, neighbour, 1).done.catch(() => undefined);
  assert.equal(child.stored.finished.count, 0);
});

test("a request that is given up is cancelled there, and what still comes of it is for nobody", async () => {
  await using scope = new AsyncDisposableStack();
  const heard: string[] = [];
  let socketOf: Socket | undefined;
  const played = scope.use(
    await playParent((socket) => {
      socketOf = socket;
      onFrames(socket, (type, stream) => {
        heard.push(`${type} ${stream}`);
        if (type === "request") socket.write(Buffer.concat([startOf(stream), encodeRunHead(stream, 131_072), BODY.subarray(0, 131_072)]));
      });
    }),
  );
  const neighbour = { ip: "127.0.0.1", port: played.port };
  const child = await aMeshNode(scope, { content });
  const { receiver, done } = fetchBlocks(child, neighbour, 1);
  await turnsUntil(() => receiver.receivedBytes === 131_072);
  receiver.ended("done");
  await done;
  await turnsUntil(() => heard.length === 2);
  assert.deepEqual(heard, ["request 0", "cancel 0"]);
  socketOf!.write(Buffer.concat([encodeRunHead(0, BODY.length - 131_072), BODY.subarray(131_072)])); // all of it all the same
  const again = fetchBlocks(child, neighbour, 1);
  await turnsUntil(() => again.receiver.receivedBytes === 131_072);
  socketOf!.write(encodeEnd(1, "gone"));
  assert.deepEqual(await again.done, { kind: "ended", end: "gone" });
});

suite("a connection", () => {
  test("is closed when nothing was asked over it for its time, and opened again", async () => {
    await using scope = new AsyncDisposableStack();
    const clock = new VirtualClock();
    const parent = await aMeshNode(scope, { content, whole: true });
    const child = await aMeshNode(scope, { content, clock, mesh: { idleMs: "1m" } });
    await fetchBlocks(child, parent.address, 0).done;
    await clock.advance(59_000);
    assert.equal(child.client.connectionCount, 1);
    await clock.advance(1000);
    await turnsUntil(() => child.client.connectionCount === 0);
    await fetchBlocks(child, parent.address, 1).done;
    assert.equal(child.client.connectionCount, 1);
  });

  test("that does not come about in its time, or not at all, fails what was asked", async () => {
    await using scope = new AsyncDisposableStack();
    const child = await aMeshNode(scope, { content });
    const gone = await playParent(() => undefined);
    await gone[Symbol.asyncDispose]();
    await assert.rejects(fetchBlocks(child, { ip: "127.0.0.1", port: gone.port }, 0).done, hasCode("rpc.unavailable"));
    await turnsUntil(() => child.client.connectionCount === 0);
  });

  test("too many is refused, and possible when another has ended", async () => {
    await using scope = new AsyncDisposableStack();
    const [one, two] = [await aMeshNode(scope, { content, whole: true }), await aMeshNode(scope, { content, whole: true })];
    const child = await aMeshNode(scope, { content, mesh: { connectionsMax: 1 } });
    await fetchBlocks(child, one.address, 0).done;
    assert.throws(() => fetchBlocks(child, two.address, 1), hasCode("limit.exceeded"));
    child.client.connectionTo(one.address).close(new AnaxError("download.cancelled"));
    await turnsUntil(() => child.client.connectionCount === 0);
    assert.equal((await fetchBlocks(child, two.address, 1).done).kind, "stored");
  });

  test("ends with the client: what was asked fails, and no timer is left", async () => {
    await using scope = new AsyncDisposableStack();
    const clock = new VirtualClock();
    const neighbour = await aNeighbour(scope, () => undefined);
    const child = await aMeshNode(scope, { content, clock });
    const asked = [0, 1].map((piece) => fetchBlocks(child, neighbour, piece).done);
    await child.client[Symbol.asyncDispose]();
    for (const done of asked) await assert.rejects(done, hasCode("download.cancelled"));
    assert.deepEqual([child.client.connectionCount, clock.pending], [0, 0]);
  });
});
