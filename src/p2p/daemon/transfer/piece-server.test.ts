import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { hasCode } from "../../../../test/kit/errors.ts";
import { TASK_ID, holdPieces, rawConnection, startServer } from "../../../../test/kit/transfer.ts";
import { createRandom } from "../../../base/random.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { encodeClose, encodeDownloadPiece, type PieceKind } from "../../../wire/vortex/codec.ts";
import { createResponseHeadParser, type ResponseHead } from "../../../wire/vortex/response-parser.ts";

const request = (pieceNumber: number, kind: PieceKind = "standard", taskId: string = TASK_ID): Uint8Array =>
  encodeDownloadPiece({ kind, id: 7, taskId, pieceNumber });

test("the dialogue of a foreign client, byte by byte", async () => {
  using held = holdPieces([5, 11]);
  await using server = await startServer(held);
  const socket = await rawConnection(server.port);
  // id 9, tag 0, length 68, the task's name, piece 1; written by hand, so that it does not lean on our encoder.
  socket.write(Buffer.concat([Buffer.from([9, 0, 0, 0, 0, 68]), Buffer.from(TASK_ID, "latin1"), Buffer.from([0, 0, 0, 1])]));
  const [{ head, body }] = await answersOf(socket, 1);
  assert.ok(head.type === "content");
  assert.deepEqual([head.kind, head.number, head.offset, head.length, head.trafficType], ["standard", 1, 5, 11, 1]);
  assert.match(head.digest, /^crc32:\d+$/);
  assert.ok(body.equals(held.bytesOf(1)));
  socket.destroy();
});

test("requests that come in any parts are answered in order, also after the client has closed its side", async () => {
  using held = holdPieces([3000, 0, 70_000]);
  await using server = await startServer(held, { uploadPipelineMax: 2 });
  const order = Array.from({ length: 60 }, (_, place) => (place * 7) % 4); // 3 does not exist
  const bytes = Buffer.concat(order.map((index) => request(index)));
  const socket = await rawConnection(server.port);
  const received = buffer(socket);
  for (let at = 0; at < bytes.length; at += 101) socket.write(bytes.subarray(at, at + 101));
  socket.end();
  const answers = parse(await received);
  assert.deepEqual(
    answers.map(nameOf),
    order.map((index) => (index === 3 ? "error 2" : `piece ${index}`)),
  );
  for (const { head, body } of answers) if (head.type === "content") assert.ok(body.equals(held.bytesOf(head.number)));
});

test("a close packet ends the connection after what stood before it", async () => {
  using held = holdPieces([10]);
  await using server = await startServer(held);
  const answers = await dialogue(server.port, [request(0), encodeClose(1), request(0)]);
  assert.deepEqual(answers.map(nameOf), ["piece 0"]);
});

test("what is not stored here is not found: other tasks, other kinds, other pieces", async () => {
  using held = holdPieces([10]);
  await using server = await startServer(held);
  const kinds = ["persistent", "persistent-cache", "cache"] as const;
  const sent = [
    request(1),
    request(0, "standard", "a".repeat(64)),
    request(4_294_967_295),
    ...kinds.map((kind) => request(0, kind)),
    request(0),
  ];
  const answers = await dialogue(server.port, [...sent, encodeClose(1)]);
  assert.deepEqual(answers.map(nameOf), [...Array.from({ length: 6 }, () => "error 2"), "piece 0"]);
});

test("bytes that are no request get error 1 after the answers before them, then the end", async () => {
  using held = holdPieces([10]);
  await using server = await startServer(held);
  const answers = await dialogue(server.port, [request(0), Buffer.from("GET / HTTP/1.1\r\n\r\n")]);
  assert.deepEqual(answers.map(nameOf), ["piece 0", "error 1"]);
});

test("random bytes never hang a connection nor harm another one", async () => {
  using held = holdPieces([10, 2000]);
  await using server = await startServer(held, { uploadRequestMs: "50ms", uploadIdleMs: "50ms" });
  const random = createRandom(11);
  for (let round = 0; round < 60; round++) {
    const bytes = Buffer.from(Array.from({ length: random.below(300) }, () => random.below(256)));
    const good = Buffer.from(request(random.below(3)));
    if (round % 3 === 0) good[random.below(good.length)] = random.below(256);
    const socket = await rawConnection(server.port);
    const ended = endOf(socket); // by error 1, or by its deadline
    socket.write(Buffer.concat(round % 2 === 0 ? [good, bytes] : [bytes, good]));
    await ended;
  }
  assert.deepEqual((await dialogue(server.port, [request(1), encodeClose(0)])).map(nameOf), ["piece 1"]);
});

test("a request that drips in is cut off at its deadline, which no byte prolongs", async () => {
  using held = holdPieces([10]);
  const clock = new VirtualClock();
  await using server = await startServer(held, { uploadRequestMs: "10s" }, clock);
  const socket = await rawConnection(server.port);
  const closed = endOf(socket);
  const packet = request(0);
  for (let at = 0; at < 5; at++) {
    socket.write(packet.subarray(at, at + 1));
    await turns(20);
    await clock.advance(3000);
  }
  await closed;
});

test("an idle connection is closed after its time, one that is used in between is not", async () => {
  using held = holdPieces([10]);
  const clock = new VirtualClock();
  await using server = await startServer(held, { uploadIdleMs: "60s" }, clock);
  const socket = await rawConnection(server.port);
  for (let round = 0; round < 3; round++) {
    socket.write(request(0));
    await answersOf(socket, 1);
    await turns(20);
    await clock.advance(50_000);
  }
  const closed = endOf(socket);
  await clock.advance(10_000);
  await closed;
});

test("a peer that takes no bytes is dropped, its lease and its turn are free again", async () => {
  using held = holdPieces([30_000_000]);
  const clock = new VirtualClock();
  await using server = await startServer(held, { uploadsMax: 1 }, clock);
  const socket = await rawConnection(server.port);
  socket.pause().write(request(0));
  await until(() => server.uploadsInFlight === 1);
  await turns(50);
  await clock.advance(31_000);
  await until(() => server.uploadsInFlight === 0);
  assert.equal(held.leases, 0);
  socket.destroy();
});

test("a request that waits too long for its turn is refused, and so is one too many", async () => {
  using held = holdPieces([30_000_000]);
  const clock = new VirtualClock();
  await using server = await startServer(held, { uploadsMax: 1, uploadsWaitingMax: 1, uploadWaitMs: "5s" }, clock);
  const slow = await rawConnection(server.port);
  slow.pause().write(request(0));
  await until(() => server.uploadsInFlight === 1);
  const waiting = await rawConnection(server.port);
  waiting.write(request(0));
  await until(() => held.leases === 2);
  const refused = await rawConnection(server.port);
  refused.write(request(0));
  assert.deepEqual((await answersOf(refused, 1)).map(nameOf), ["error 3"]);
  const patient = answersOf(waiting, 1);
  await clock.advance(5000);
  assert.deepEqual((await patient).map(nameOf), ["error 3"]);
  for (const socket of [slow, waiting, refused]) socket.destroy();
});

test("connections beyond the limit are closed", async () => {
  using held = holdPieces([10]);
  await using server = await startServer(held, { uploadConnectionsMax: 2 });
  const kept = [await rawConnection(server.port), await rawConnection(server.port)];
  const dropped = await rawConnection(server.port);
  await endOf(dropped);
  for (const socket of kept) socket.destroy();
});

test("a server that stops destroys what does not finish in time", async () => {
  using held = holdPieces([30_000_000]);
  const clock = new VirtualClock();
  const server = await startServer(held, { uploadDrainMs: "5s" }, clock);
  const [stuck, idle] = [await rawConnection(server.port), await rawConnection(server.port)];
  stuck.pause().write(request(0));
  await until(() => server.uploadsInFlight === 1);
  const ended = buffer(idle);
  const stopped = server[Symbol.asyncDispose]();
  assert.equal((await ended).length, 0); // an idle one is told at once
  await clock.advance(5000);
  await stopped;
  assert.equal(clock.pending, 0);
  for (const socket of [stuck, idle]) socket.destroy();
});

test("an address in use is a clear error", async () => {
  using held = holdPieces([1]);
  await using server = await startServer(held);
  await assert.rejects(startServer(held, {}, new VirtualClock(), server.port), hasCode("listen.address-in-use"));
});

interface Answer {
  readonly head: ResponseHead;
  readonly body: Buffer;
}

const nameOf = ({ head }: Answer): string =>
  head.type === "content" ? `piece ${head.number}` : head.type === "error" ? `error ${head.code}` : "close";

/** Sends everything and collects what comes until the server closes. */
async function dialogue(port: number, packets: readonly Uint8Array[]): Promise<readonly Answer[]> {
  const socket = await rawConnection(port);
  const received = buffer(socket);
  socket.write(Buffer.concat(packets));
  const bytes = await received;
  socket.destroy();
  return parse(bytes);
}

/** The next answers on a connection that stays open. */
async function answersOf<const N extends number>(socket: Socket, count: N): Promise<N extends 1 ? [Answer] : Answer[]> {
  const chunks: Buffer[] = [];
  for (;;) {
    const answers = parse(Buffer.concat(chunks));
    if (answers.length === count) return answers as never; // as many as the type says
    const [chunk] = (await once(socket, "data")) as [Buffer];
    chunks.push(chunk);
  }
}

/** Complete answers in the bytes; an incomplete last one is left out. */
function parse(bytes: Buffer): Answer[] {
  const answers: Answer[] = [];
  for (let at = 0; at < bytes.length;) {
    const parsed = createResponseHeadParser().feed(bytes.subarray(at));
    if (parsed === undefined) break;
    at += parsed.consumedBytes;
    const length = parsed.head.type === "content" ? parsed.head.length : 0;
    if (at + length > bytes.length) break;
    answers.push({ head: parsed.head, body: bytes.subarray(at, at + length) });
    at += length;
  }
  return answers;
}

/** Resolves when the server has closed its side, and closes ours. */
async function endOf(socket: Socket): Promise<void> {
  await new Promise((resolve) => socket.once("end", resolve).once("close", resolve).resume());
  socket.destroy();
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function until(reached: () => boolean): Promise<void> {
  while (!reached()) await turns(1);
}
