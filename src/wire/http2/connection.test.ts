import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { Http2Connection, type Exchange } from "./connection.ts";
import { createFrameParser, encodeFrame, encodeNumber, encodeSettings, FLAG, FRAME, PREFACE, SETTING, type Frame } from "./frames.ts";
import { encodeHeaders } from "./hpack.ts";

/** The other end of one connection, whose every byte the test writes. */
interface Peer extends AsyncDisposable {
  readonly connection: Http2Connection;
  readonly clock: VirtualClock;
  readonly socket: Socket;
  say(...frames: readonly Uint8Array[]): void;
  /** The next frame of this type that the client sends. */
  hear(type: number): Promise<Frame>;
}

async function aPeer(): Promise<Peer> {
  await using scope = new AsyncDisposableStack();
  const { path: directory } = scope.use(await temporaryDirectory());
  const path = join(directory, "s");
  const server = createServer().listen(path);
  await once(server, "listening");
  scope.defer(() => void server.close());
  const clock = new VirtualClock();
  const options = { path, clock, connectTimeoutMs: 5000, keepAliveMs: 30_000, keepAliveTimeoutMs: 10_000 };
  const connected = once(server, "connection") as Promise<[Socket]>;
  const connection = new Http2Connection(options);
  const [socket] = await connected;
  scope.defer(() => void socket.destroy());
  socket.on("error", () => undefined); // the client may leave while something is said to it
  const frames = framesOf(socket);
  const owned = scope.move();
  return {
    connection,
    clock,
    socket,
    say: (...said) => void socket.write(Buffer.concat(said)),
    async hear(type) {
      for (;;) {
        const { value } = await frames.next();
        assert.ok(value !== undefined, "the client has left");
        if (value.type === type) return value;
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function* framesOf(socket: Socket): AsyncGenerator<Frame, undefined> {
  const parser = createFrameParser();
  let preface = PREFACE.length;
  for await (const chunk of socket) {
    const bytes = chunk as Buffer;
    yield* parser.feed(bytes.subarray(preface));
    preface = Math.max(0, preface - bytes.length);
  }
  return undefined;
}

interface Heard {
  readonly exchange: Exchange;
  readonly log: string[];
  readonly over: Promise<AnaxError | undefined>;
}

function ask(connection: Http2Connection, body = Buffer.from("body")): Heard {
  const log: string[] = [];
  const { promise: over, resolve } = Promise.withResolvers<AnaxError | undefined>();
  const exchange = connection.request([[":path", "/"]], body, {
    headers: (fields) => log.push(fields.map((field) => field.join("=")).join(" ")),
    data: (bytes) => log.push(Buffer.from(bytes).toString()),
    end: () => resolve(undefined),
    failed: resolve,
  });
  return { exchange, log, over };
}

const SETTINGS = encodeSettings([]);
const STATUS_200 = Buffer.of(0x88);

test("an answer is put together from continued headers, padded data and trailers", async () => {
  await using peer = await aPeer();
  const { log, over } = ask(peer.connection);
  const trailers = encodeHeaders([["grpc-status", "0"]]);
  peer.say(
    SETTINGS,
    encodeFrame({ type: FRAME.headers, flags: 0, streamId: 1, payload: STATUS_200 }),
    encodeFrame({ type: FRAME.continuation, flags: 0, streamId: 1, payload: trailers.subarray(0, 3) }),
    encodeFrame({ type: FRAME.continuation, flags: FLAG.endHeaders, streamId: 1, payload: trailers.subarray(3) }),
    encodeFrame({ type: FRAME.data, flags: FLAG.padded, streamId: 1, payload: Buffer.from("\x02text\0\0") }),
    encodeFrame({ type: 0xbe, streamId: 1, payload: Buffer.from("of no known type") }),
    encodeFrame({ type: FRAME.headers, flags: FLAG.endHeaders | FLAG.endStream, streamId: 1, payload: trailers }),
  );
  assert.equal(await over, undefined);
  assert.deepEqual(log, [":status=200 grpc-status=0", "text", "grpc-status=0"]);
});

test("a body waits for the windows of its stream and of the connection", async () => {
  await using peer = await aPeer();
  ask(peer.connection, Buffer.alloc(100_000));
  peer.say(encodeSettings([[SETTING.initialWindowSize, 10]])); // smaller than what is on its way already
  let bytes = 0;
  while (bytes < 65_535) bytes += (await peer.hear(FRAME.data)).payload.length;
  assert.equal(bytes, 65_535);
  peer.say(encodeNumber(FRAME.windowUpdate, 0, 100_000)); // for the connection: the stream owes 65,525 yet
  peer.say(encodeNumber(FRAME.windowUpdate, 1, 65_525 + 5));
  assert.equal((await peer.hear(FRAME.data)).payload.length, 5);
  peer.say(encodeNumber(FRAME.windowUpdate, 1, 100_000));
  bytes += 5;
  for (let last = false; !last;) {
    const frame = await peer.hear(FRAME.data);
    bytes += frame.payload.length;
    last = frame.flags === FLAG.endStream;
  }
  assert.equal(bytes, 100_000);
});

test("the window of an answer is given back as it is used", async () => {
  await using peer = await aPeer();
  const { exchange } = ask(peer.connection);
  peer.say(SETTINGS);
  exchange.used(400_000);
  exchange.used(200_000);
  await peer.hear(FRAME.windowUpdate); // of the connection, at the start
  const update = await peer.hear(FRAME.windowUpdate);
  assert.deepEqual([update.streamId, Buffer.from(update.payload).readUInt32BE()], [1, 600_000]);
});

test("a side that goes away answers what it has begun with, and nothing else", async () => {
  await using peer = await aPeer();
  const [first, second] = [ask(peer.connection), ask(peer.connection)];
  peer.say(SETTINGS, encodeFrame({ type: FRAME.goAway, payload: Buffer.of(0, 0, 0, 1, 0, 0, 0, 0) }));
  assert.equal((await second.over)?.code, "rpc.unavailable");
  assert.equal(peer.connection.open, false);
  assert.equal((await ask(peer.connection).over)?.code, "rpc.unavailable");
  peer.say(encodeFrame({ type: FRAME.headers, flags: FLAG.endHeaders | FLAG.endStream, streamId: 1, payload: STATUS_200 }));
  assert.equal(peer.connection.closed, false);
  assert.equal(await first.over, undefined);
  assert.deepEqual([peer.connection.closed, peer.clock.pending], [true, 0]); // whether or not the other side closes as well
});

test("a connection without exchanges ends with the wish to end it", async () => {
  await using peer = await aPeer();
  const gone = once(peer.socket.resume(), "end");
  peer.say(SETTINGS, encodeNumber(FRAME.windowUpdate, 0, 1), encodeFrame({ type: FRAME.goAway, payload: Buffer.alloc(8) }));
  await gone;
  assert.deepEqual([peer.connection.closed, peer.clock.pending], [true, 0]);
});

test("interim answers are passed over", async () => {
  await using peer = await aPeer();
  const { log, over } = ask(peer.connection);
  const interim = encodeFrame({ type: FRAME.headers, flags: FLAG.endHeaders, streamId: 1, payload: encodeHeaders([[":status", "103"]]) });
  peer.say(
    SETTINGS,
    interim,
    interim,
    encodeFrame({ type: FRAME.headers, flags: FLAG.endHeaders | FLAG.endStream, streamId: 1, payload: STATUS_200 }),
  );
  assert.equal(await over, undefined);
  assert.deepEqual(log, [":status=200"]);
});

test("a reset ends its stream with what its code means", async () => {
  await using peer = await aPeer();
  peer.say(SETTINGS);
  const expected = [
    [0x7, "rpc.unavailable"],
    [0x8, "rpc.cancelled"],
    [0xb, "rpc.resource-exhausted"],
    [0x2, "rpc.internal"],
  ] as const;
  for (const [place, [reset, code]] of expected.entries()) {
    const { over } = ask(peer.connection);
    peer.say(encodeNumber(FRAME.reset, 1 + 2 * place, reset));
    assert.equal((await over)?.code, code);
  }
});

test("a cancelled exchange tells the other side, and what still comes is nobody's", async () => {
  await using peer = await aPeer();
  const { exchange, log } = ask(peer.connection);
  exchange.cancel();
  assert.equal((await peer.hear(FRAME.reset)).streamId, 1);
  const next = ask(peer.connection);
  peer.say(
    SETTINGS,
    encodeFrame({ type: FRAME.data, streamId: 1, payload: Buffer.from("late") }),
    encodeFrame({ type: FRAME.headers, flags: FLAG.endHeaders | FLAG.endStream, streamId: 3, payload: STATUS_200 }),
  );
  assert.equal(await next.over, undefined);
  assert.deepEqual(log, []);
});

test("silence is questioned, and a side that does not answer is given up", async () => {
  await using peer = await aPeer();
  const { over } = ask(peer.connection);
  peer.say(SETTINGS, encodeFrame({ type: FRAME.ping, payload: Buffer.from("question") }));
  assert.equal(Buffer.from((await peer.hear(FRAME.ping)).payload).toString(), "question"); // and so it has heard the settings
  await peer.clock.advance(5000);
  await peer.clock.advance(30_000);
  const asked = await peer.hear(FRAME.ping);
  peer.say(encodeFrame({ ...asked, flags: FLAG.ack }), encodeFrame({ type: FRAME.ping, payload: Buffer.alloc(8) }));
  await peer.hear(FRAME.ping); // it has heard ours
  await peer.clock.advance(10_000);
  await peer.clock.advance(30_000);
  await peer.hear(FRAME.ping);
  await peer.clock.advance(10_000);
  assert.equal((await over)?.details["reason"], "no sign of life");
  assert.equal(peer.clock.pending, 0);
});

test("any number of questions is answered to a side that reads the answers", async () => {
  await using peer = await aPeer();
  peer.say(SETTINGS);
  for (let round = 0; round < 30; round++) {
    peer.say(...times(50, pingOf(8)));
    for (let i = 0; i < 50; i++) await peer.hear(FRAME.ping);
  }
  assert.equal(peer.connection.open, true);
});

test("a connection that was closed here fails what is under way with the reason", async () => {
  await using peer = await aPeer();
  const { over } = ask(peer.connection);
  peer.connection.close(new AnaxError("rpc.cancelled"));
  assert.equal((await over)?.code, "rpc.cancelled");
  assert.deepEqual([peer.connection.closed, peer.clock.pending], [true, 0]);
});

const head = encodeFrame({ type: FRAME.headers, flags: FLAG.endHeaders, streamId: 1, payload: STATUS_200 });
const openHead = encodeFrame({ type: FRAME.headers, streamId: 1, payload: STATUS_200 });
const partOf = (bytes: number) => encodeFrame({ type: FRAME.continuation, streamId: 1, payload: Buffer.alloc(bytes) });
const dataOf = (bytes: number) => encodeFrame({ type: FRAME.data, streamId: 1, payload: Buffer.alloc(bytes) });
const pingOf = (bytes: number) => encodeFrame({ type: FRAME.ping, payload: Buffer.alloc(bytes) });
const times = (count: number, frame: Uint8Array): readonly Uint8Array[] => Array.from({ length: count }, () => frame);

for (const [what, said] of [
  ["something else than settings first", [pingOf(8)]],
  ["HTTP/1", [Buffer.from("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")]],
  ["a frame longer than was allowed", [SETTINGS, dataOf(16_385).subarray(0, 9)]],
  ["a push", [SETTINGS, encodeFrame({ type: FRAME.pushPromise, streamId: 1, payload: Buffer.alloc(8) })]],
  ["headers that are interrupted", [SETTINGS, openHead, SETTINGS]],
  ["headers that go on elsewhere", [SETTINGS, openHead, encodeFrame({ type: FRAME.continuation, flags: FLAG.endHeaders, streamId: 3 })]],
  ["headers without end", [SETTINGS, openHead, ...times(5, partOf(16_000))]],
  ["headers in ever more empty parts", [SETTINGS, openHead, ...times(64, partOf(0))]],
  ["headers again and again", [SETTINGS, head, head]],
  ["a continuation of nothing", [SETTINGS, encodeFrame({ type: FRAME.continuation, streamId: 1, payload: STATUS_200 })]],
  ["data before headers", [SETTINGS, dataOf(1)]],
  ["more data than its window", [SETTINGS, head, ...times(65, dataOf(16_384))]],
  ["a window beyond all measure", [SETTINGS, encodeNumber(FRAME.windowUpdate, 0, 2 ** 31 - 1)]],
  ["windows beyond all measure", [encodeSettings([[SETTING.initialWindowSize, 2 ** 31]])]],
  ["a reset without a code", [SETTINGS, encodeFrame({ type: FRAME.reset, streamId: 1 })]],
  ["a ping of a wrong length", [SETTINGS, pingOf(16_000)]],
  ["pings without reading the answers", [SETTINGS, ...times(100_000, pingOf(8))]],
  ["settings without reading the answers", times(100_000, SETTINGS)],
] as const) {
  test(`a side that does not keep to the protocol is given up: ${what}`, async () => {
    await using peer = await aPeer();
    const { over } = ask(peer.connection);
    peer.say(...said);
    assert.equal((await over)?.code, "rpc.internal");
    assert.equal(peer.connection.open, false);
    assert.equal(peer.clock.pending, 0);
  });
}
