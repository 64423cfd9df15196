import assert from "node:assert/strict";
import { createServer } from "node:net";
import { getEventListeners, once } from "node:events";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { openChannel } from "./client.ts";
import { SchedulerService as AnaxSchedulerService, AttachRequest } from "./gen/anax/v1/scheduler.ts";
import { Task } from "./gen/common/v2/common.ts";
import { DfdaemonUploadService, SyncPiecesRequest } from "./gen/dfdaemon/v2/dfdaemon.ts";
import { SchedulerService } from "./gen/scheduler/v2/scheduler.ts";
import { collect, LOOPBACK, serve, socketDirectory, unbounded } from "./grpc-fixture.ts";
import { GrpcServer } from "./server.ts";
import { serviceOf, unimplementedOf } from "./service.ts";

const ask = { hostId: "h", taskId: "t" };
const timeoutMs = 10_000;
/** Big enough that a few fill every buffer on the way. */
const BULK = "x".repeat(256 * 1024);

test("a call is answered over TCP and over a Unix socket, by the same handlers", async () => {
  await using sockets = await socketDirectory();
  const peers: string[] = [];
  const statTask = serviceOf(SchedulerService, {
    statTask: (request, call) => {
      peers.push(call.peer);
      return Task.fromPartial({ id: request.taskId, url: call.header("x-asked") ?? "" });
    },
  });
  await using server = await GrpcServer.start({
    listen: [LOOPBACK, sockets.at("s")],
    services: [statTask],
    clock: realClock,
    onError: assert.fail,
  });
  for (const address of server.addresses) {
    using channel = openChannel(address, { clock: realClock });
    const task = await channel.unary(SchedulerService.statTask, ask, { timeoutMs, headers: { "x-asked": "yes" } });
    assert.deepEqual([task.id, task.url], ["t", "yes"]);
  }
  assert.match(peers[0] ?? "", /^127\.0\.0\.1:\d+$/);
  assert.equal(peers[1], "unix");
});

test("methods without a handler say that they are not offered, whatever their shape", async () => {
  await using served = await serve([unimplementedOf(SchedulerService), unimplementedOf(DfdaemonUploadService)]);
  const options = { signal: unbounded() };
  const refused = { code: "rpc.unimplemented", message: /\/(scheduler|dfdaemon)\.v2\..+\// };
  await assert.rejects(served.channel.unary(SchedulerService.statTask, ask, { timeoutMs }), refused);
  await assert.rejects(
    collect(served.channel.serverStream(DfdaemonUploadService.syncPieces, SyncPiecesRequest.create(), options)),
    refused,
  );
  using announce = served.channel.bidi(SchedulerService.announceCachePeer, options);
  await assert.rejects(collect(announce.responses), refused);
  await assert.rejects(served.channel.unary(AnaxSchedulerService.status, {}, { timeoutMs }), { code: "rpc.unimplemented" });
});

test("a bidirectional stream carries both ways until the handler returns", async () => {
  const announce = serviceOf(SchedulerService, {
    announcePeer: async ({ requests, send }) => {
      for await (const { taskId } of requests) {
        if (taskId === "last") return;
        await send({
          response: { $case: "needBackToSourceResponse", value: { description: taskId, rejections: [], foreignHosts: false, spans: [] } },
        });
      }
    },
  });
  await using served = await serve([announce]);
  using stream = served.channel.bidi(SchedulerService.announcePeer, { signal: unbounded() });
  const sent = (taskId: string) => stream.send({ hostId: "h", taskId, peerId: "p" });
  const responses = stream.responses[Symbol.asyncIterator]();
  for (const taskId of ["a", "b"]) {
    await sent(taskId);
    const { value } = await responses.next();
    assert.deepEqual(value, {
      response: { $case: "needBackToSourceResponse", value: { description: taskId, rejections: [], foreignHosts: false, spans: [] } },
    });
  }
  await sent("last");
  assert.equal((await responses.next()).done, true);
  await assert.rejects(sent("late"), { code: "rpc.cancelled" });
});

test("closing one's own half ends the requests and leaves the responses", async () => {
  const announce = serviceOf(SchedulerService, {
    announcePeer: async ({ requests, send }) => {
      const all = await collect(requests);
      await send({
        response: {
          $case: "needBackToSourceResponse",
          value: { description: String(all.length), rejections: [], foreignHosts: false, spans: [] },
        },
      });
    },
  });
  await using served = await serve([announce]);
  using stream = served.channel.bidi(SchedulerService.announcePeer, { signal: unbounded() });
  for (const taskId of ["a", "b", "c"]) await stream.send({ hostId: "h", taskId, peerId: "p" });
  stream.close();
  const [response] = await collect(stream.responses);
  assert.equal(response?.response?.$case === "needBackToSourceResponse" && response.response.value.description, "3");
});

test("a handler that does not read holds its caller back, whose send ends with the stream", async () => {
  const { promise: left, resolve: onLeft } = Promise.withResolvers<unknown>();
  const services = [
    serviceOf(SchedulerService, {
      statTask: () => Task.create(),
      announcePeer: async ({ signal, send }) => {
        await once(signal, "abort");
        onLeft(await send({}).catch((error: unknown) => error));
      },
    }),
  ];
  await using served = await serve(services);
  const stream = served.channel.bidi(SchedulerService.announcePeer, { signal: unbounded() });
  let sent = 0;
  const sending = (async () => {
    for (;;) {
      await stream.send({ hostId: BULK, taskId: "t", peerId: "p" });
      sent++;
    }
  })();
  sending.catch(() => undefined); // looked at below, once the stream is gone
  for (let i = 0; i < 50; i++) await served.channel.unary(SchedulerService.statTask, ask, { timeoutMs });
  assert.ok(sent < 60, `${sent} were sent`);
  stream[Symbol.dispose]();
  await assert.rejects(sending, { code: "rpc.cancelled" });
  assert.equal(((await left) as AnaxError).code, "rpc.cancelled");
});

test("however many answers wait for their caller, one listener ends them all", async () => {
  const { promise: listeners, resolve: onCounted } = Promise.withResolvers<number>();
  const { promise: left, resolve: onLeft } = Promise.withResolvers<readonly unknown[]>();
  const announce = serviceOf(SchedulerService, {
    announcePeer: async ({ signal, send }) => {
      const value = { description: BULK, rejections: [], foreignHosts: false, spans: [] };
      const sending = Array.from({ length: 200 }, () => send({ response: { $case: "needBackToSourceResponse", value } }));
      const ends = Promise.all(sending.map((each) => each.catch((error: unknown) => error)));
      onCounted(getEventListeners(signal, "abort").length);
      await once(signal, "abort");
      onLeft(await ends);
    },
  });
  await using served = await serve([announce]);
  const stream = served.channel.bidi(SchedulerService.announcePeer, { signal: unbounded() });
  await stream.send({ hostId: "h", taskId: "t", peerId: "p" });
  assert.ok((await listeners) <= 2, `${await listeners} listeners`);
  stream[Symbol.dispose]();
  const last = (await left).at(-1);
  assert.equal((last as AnaxError).code, "rpc.cancelled");
});

test("aborting the signal of a stream ends it with that reason on the calling side", async () => {
  const attach = serviceOf(AnaxSchedulerService, {
    attach: async ({ requests, send }) => {
      for await (const _ of requests) await send({ response: { $case: "ack", value: { sequence: 1 } } });
    },
  });
  await using served = await serve([attach]);
  const caller = new AbortController();
  using stream = served.channel.bidi(AnaxSchedulerService.attach, { signal: caller.signal });
  await stream.send(AttachRequest.create());
  const reason = new AnaxError("daemon.unreachable");
  await assert.rejects(async () => {
    for await (const _ of stream.responses) caller.abort(reason);
  }, reason);
  await assert.rejects(stream.send(AttachRequest.create()), reason);
  await assert.rejects(async () => served.channel.bidi(AnaxSchedulerService.attach, { signal: caller.signal }), reason);
});

test("nobody there: calls and streams fail at once", async () => {
  await using sockets = await socketDirectory();
  const freed = await serve([]);
  await freed[Symbol.asyncDispose]();
  for (const address of [freed.address, sockets.at("nobody")]) {
    using channel = openChannel(address, { clock: realClock });
    await assert.rejects(channel.unary(SchedulerService.statTask, ask, { timeoutMs }), { code: "rpc.unavailable" });
    using stream = channel.bidi(SchedulerService.announcePeer, { signal: unbounded() });
    await assert.rejects(collect(stream.responses), { code: "rpc.unavailable" });
  }
});

test("a stream to somebody who accepts and then says nothing ends when its time to connect is over", async () => {
  const mute = createServer().listen(0, "127.0.0.1");
  await once(mute, "listening");
  const { port } = mute.address() as { port: number }; // listening on TCP
  const clock = new VirtualClock();
  using channel = openChannel({ host: "127.0.0.1", port }, { clock });
  const connected = once(mute, "connection") as Promise<[{ destroy(): void }]>;
  const responses = collect(channel.serverStream(DfdaemonUploadService.syncPieces, SyncPiecesRequest.create(), { signal: unbounded() }));
  responses.catch(() => undefined); // looked at below
  const [socket] = await connected;
  await clock.advance(5000);
  await assert.rejects(responses, {
    code: "rpc.unavailable",
    details: { address: `127.0.0.1:${port}`, reason: "no connection in time", connectTimeoutMs: 5000 },
  });
  assert.equal(clock.pending, 0);
  socket.destroy();
  mute.close();
});
