import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { realClock } from "../../base/clock.ts";
import { createFrameParser, encodeFrame, encodeSettings, FLAG, FRAME, PREFACE } from "../http2/frames.ts";
import { conformsAsCaller } from "./caller.conformance.ts";
import type { Task } from "./gen/common/v2/common.ts";
import { DfdaemonUploadService, SyncPiecesRequest, SyncPiecesResponse } from "./gen/dfdaemon/v2/dfdaemon.ts";
import { SchedulerService } from "./gen/scheduler/v2/scheduler.ts";
import { serveLocally, socketDirectory } from "./grpc-fixture.ts";
import { serviceOf } from "./service.ts";
import { SocketChannel } from "./socket-channel.ts";

conformsAsCaller("socket", (path, options) => new SocketChannel(path, options));

const timeoutMs = 10_000;

test("an endless stream where one response belongs is left at the second one", async () => {
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  const endless = serviceOf(DfdaemonUploadService, {
    async *syncPieces() {
      try {
        for (let number = 0; ; number++) yield SyncPiecesResponse.fromPartial({ number });
      } finally {
        resolve();
      }
    },
  });
  await using served = await serveLocally([endless], (path, options) => new SocketChannel(path, options));
  const method = { ...DfdaemonUploadService.syncPieces, responseStream: false } as const;
  await assert.rejects(served.channel.unary(method, SyncPiecesRequest.create(), { timeoutMs }), {
    code: "rpc.internal",
    details: { method: method.path, reason: "more than one response" },
  });
  await stopped;
});

/** Resolves once the client has read all that was said to this socket. */
async function heardBy(socket: Socket): Promise<void> {
  socket.write(encodeFrame({ type: FRAME.ping, payload: Buffer.alloc(8) }));
  const parser = createFrameParser();
  let preface = PREFACE.length;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    const bytes = chunk as Buffer;
    if (parser.feed(bytes.subarray(preface)).some(({ type, flags }) => type === FRAME.ping && flags === FLAG.ack)) return;
    preface = Math.max(0, preface - bytes.length);
  }
}

test("closing a channel ends the calls on a connection that the other side was about to leave, too", async () => {
  await using sockets = await socketDirectory();
  const { path } = sockets.at("leaving");
  await using server = createServer().listen(path);
  await once(server, "listening");
  const call = () => channel.unary(SchedulerService.statTask, { hostId: "h", taskId: "t" }, { timeoutMs });
  const channel = new SocketChannel(path, { clock: realClock });
  const calls: Promise<Task>[] = [];
  for (const goAway of [[encodeFrame({ type: FRAME.goAway, payload: Buffer.of(0, 0, 0, 1, 0, 0, 0, 0) })], []]) {
    const connected = once(server, "connection") as Promise<[Socket]>;
    calls.push(call());
    const [socket] = await connected;
    socket.write(Buffer.concat([encodeSettings([]), ...goAway]));
    await heardBy(socket);
  }
  const ends = Promise.allSettled(calls);
  channel[Symbol.dispose]();
  assert.deepEqual(
    (await ends).map((end) => end.status === "rejected" && (end.reason as { code: string }).code),
    ["rpc.cancelled", "rpc.cancelled"],
  );
});

test("a connection that was asked for ahead is the one that the first call takes", async () => {
  await using sockets = await socketDirectory();
  const { path } = sockets.at("ahead");
  await using server = createServer().listen(path);
  await once(server, "listening");
  const connections: Socket[] = [];
  server.on("connection", (socket) => void connections.push(socket));
  const connected = once(server, "connection");
  using channel = new SocketChannel(path, { clock: realClock });
  channel.connect();
  await connected;
  const answered = assert.rejects(channel.unary(SchedulerService.statTask, { hostId: "h", taskId: "t" }, { timeoutMs }), {
    code: "rpc.unavailable",
  });
  await once(connections[0]!, "data"); // it has connected
  for (const socket of connections) socket.destroy();
  await answered;
  assert.equal(connections.length, 1);
});

test("a connection that could not be made ahead is tried again by the call", async () => {
  await using sockets = await socketDirectory();
  const { path } = sockets.at("late");
  using channel = new SocketChannel(path, { clock: realClock });
  channel.connect();
  await nextTurn(); // of the loop, in which the refusal is heard of
  const method = SchedulerService.statTask;
  await assert.rejects(channel.unary(method, { hostId: "h", taskId: "t" }, { timeoutMs }), { code: "rpc.unavailable" });
  await using server = createServer((socket) => socket.destroy()).listen(path);
  await once(server, "listening");
  const connected = once(server, "connection");
  await assert.rejects(channel.unary(method, { hostId: "h", taskId: "t" }, { timeoutMs }), { code: "rpc.unavailable" });
  await connected;
});
