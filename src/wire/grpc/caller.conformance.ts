import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import type { CallerOptions, GrpcCaller } from "./caller.ts";
import { Task } from "./gen/common/v2/common.ts";
import { DfdaemonUploadService, SyncPiecesRequest, SyncPiecesResponse } from "./gen/dfdaemon/v2/dfdaemon.ts";
import { SchedulerService } from "./gen/scheduler/v2/scheduler.ts";
import { collect, serveLocally, socketDirectory, unbounded } from "./grpc-fixture.ts";
import type { GrpcService } from "./service.ts";
import { serviceOf, unimplementedOf } from "./service.ts";

const ask = { hostId: "h", taskId: "t" };
const timeoutMs = 10_000;
/** Big enough that a few fill every buffer on the way. */
const BULK = "x".repeat(256 * 1024);

/** What whoever makes calls must do, over a Unix socket. */
export function conformsAsCaller(name: string, open: (path: string, options: CallerOptions) => GrpcCaller): void {
  const start = (services: readonly GrpcService[]) => serveLocally(services, open);

  test(`${name}: what a handler throws reaches the caller with its code and details, and is reported once`, async () => {
    const thrown = new AnaxError("task.in-use", { taskId: "t", holders: ["mount", "ünïcode \ud800"], count: 2 });
    await using served = await start([serviceOf(SchedulerService, { statTask: () => Promise.reject(thrown) })]);
    await assert.rejects(served.channel.unary(SchedulerService.statTask, ask, { timeoutMs }), {
      code: "task.in-use",
      details: { taskId: "t", holders: ["mount", "ünïcode \ud800"], count: 2 },
    });
    assert.deepEqual(served.reported, [thrown]);
  });

  test(`${name}: an error of no kind that we know is internal`, async () => {
    await using served = await start([serviceOf(SchedulerService, { statTask: () => Promise.reject(new TypeError("oops")) })]);
    await assert.rejects(served.channel.unary(SchedulerService.statTask, ask, { timeoutMs }), { code: "internal" });
    assert.ok(served.reported[0]?.cause instanceof TypeError);
  });

  test(`${name}: a response that cannot be encoded is an error of the handler, for unary calls and streams`, async () => {
    const wrong = SyncPiecesResponse.fromPartial({ number: -1 });
    await using served = await start([
      serviceOf(SchedulerService, { statTask: () => Task.fromPartial({ pieceCount: -1 }) }),
      serviceOf(DfdaemonUploadService, {
        async *syncPieces() {
          yield wrong;
        },
      }),
    ]);
    await assert.rejects(served.channel.unary(SchedulerService.statTask, ask, { timeoutMs }), { code: "internal" });
    const stream = served.channel.serverStream(DfdaemonUploadService.syncPieces, SyncPiecesRequest.create(), { signal: unbounded() });
    await assert.rejects(collect(stream), { code: "internal" });
    assert.equal(served.reported.length, 2);
  });

  test(`${name}: a caller that gives up ends the handler, and nobody calls that a failure`, async () => {
    const { promise: asked, resolve: onAsked } = Promise.withResolvers<AbortSignal>();
    const statTask = serviceOf(SchedulerService, {
      statTask: async (_, call) => {
        onAsked(call.signal);
        await once(call.signal, "abort");
        throw call.signal.reason;
      },
    });
    await using served = await start([statTask]);
    const caller = new AbortController();
    const answer = served.channel.unary(SchedulerService.statTask, ask, { timeoutMs, signal: caller.signal });
    const signal = await asked;
    const reason = new AnaxError("download.cancelled");
    caller.abort(reason);
    await assert.rejects(answer, reason);
    if (!signal.aborted) await once(signal, "abort");
    assert.equal((signal.reason as AnaxError).code, "rpc.cancelled");
    assert.deepEqual(served.reported, []);
  });

  test(`${name}: a deadline ends the call on both sides`, async () => {
    const { promise: ended, resolve } = Promise.withResolvers<AnaxError>();
    const statTask = serviceOf(SchedulerService, {
      statTask: async (_, call) => {
        await once(call.signal, "abort");
        resolve(call.signal.reason as AnaxError);
        throw call.signal.reason;
      },
    });
    await using served = await start([statTask]);
    await assert.rejects(served.channel.unary(SchedulerService.statTask, ask, { timeoutMs: 50 }), { code: "rpc.deadline-exceeded" });
    // Which of the deadline and the caller's reset arrives first is chance.
    assert.match((await ended).code, /^rpc\.(deadline-exceeded|cancelled)$/);
  });

  test(`${name}: a server stream yields in order and then its error`, async () => {
    const syncPieces = serviceOf(DfdaemonUploadService, {
      async *syncPieces({ interestedPieceNumbers }) {
        for (const number of interestedPieceNumbers) yield SyncPiecesResponse.fromPartial({ number });
        throw new AnaxError("piece.not-found", { number: 9 });
      },
    });
    await using served = await start([syncPieces]);
    const numbers: number[] = [];
    const request = SyncPiecesRequest.fromPartial({ interestedPieceNumbers: [3, 1, 2] });
    await assert.rejects(
      async () => {
        const stream = served.channel.serverStream(DfdaemonUploadService.syncPieces, request, { signal: unbounded() });
        for await (const { number } of stream) numbers.push(number);
      },
      { code: "piece.not-found", details: { number: 9 } },
    );
    assert.deepEqual(numbers, [3, 1, 2]);
  });

  test(`${name}: a slow reader slows the producer down, and one that leaves stops it`, async () => {
    let produced = 0;
    const { promise: stopped, resolve } = Promise.withResolvers<void>();
    const services = [
      serviceOf(SchedulerService, { statTask: () => Task.create() }),
      serviceOf(DfdaemonUploadService, {
        async *syncPieces() {
          try {
            for (;;) yield SyncPiecesResponse.fromPartial({ number: produced++, ip: BULK });
          } finally {
            resolve();
          }
        },
      }),
    ];
    await using served = await start(services);
    for await (const { number } of served.channel.serverStream(DfdaemonUploadService.syncPieces, SyncPiecesRequest.create(), {
      signal: unbounded(),
    })) {
      if (number < 5) continue;
      // The stream has had all the time of these calls to run ahead.
      for (let i = 0; i < 50; i++) await served.channel.unary(SchedulerService.statTask, ask, { timeoutMs });
      assert.ok(produced < 60, `${produced} were produced`);
      break;
    }
    await stopped;
  });

  test(`${name}: methods without a handler say that they are not offered`, async () => {
    await using served = await start([unimplementedOf(SchedulerService), unimplementedOf(DfdaemonUploadService)]);
    const refused = { code: "rpc.unimplemented", message: /\/(scheduler|dfdaemon)\.v2\..+\// };
    await assert.rejects(served.channel.unary(SchedulerService.statTask, ask, { timeoutMs }), refused);
    const stream = served.channel.serverStream(DfdaemonUploadService.syncPieces, SyncPiecesRequest.create(), { signal: unbounded() });
    await assert.rejects(collect(stream), refused);
  });

  test(`${name}: headers reach the handler, and an answer its caller`, async () => {
    const statTask = serviceOf(SchedulerService, {
      statTask: (request, call) => Task.fromPartial({ id: request.taskId, url: `${call.header("x-asked")} ${call.peer}` }),
    });
    await using served = await start([statTask]);
    const task = await served.channel.unary(SchedulerService.statTask, ask, { timeoutMs, headers: { "X-Asked": "yes" } });
    assert.deepEqual([task.id, task.url], ["t", "yes unix"]);
  });

  test(`${name}: requests and answers of megabytes arrive whole, many at a time`, async () => {
    const statTask = serviceOf(SchedulerService, { statTask: ({ taskId }) => Task.fromPartial({ id: taskId + taskId }) });
    await using served = await start([statTask]);
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, place) => {
        const taskId = String.fromCharCode(97 + place).repeat(place * 60_000);
        const { id } = await served.channel.unary(SchedulerService.statTask, { hostId: "h", taskId }, { timeoutMs });
        return id === taskId + taskId;
      }),
    );
    assert.ok(answers.every(Boolean));
  });

  test(`${name}: an answer longer than is taken is refused`, async () => {
    await using served = await start([serviceOf(SchedulerService, { statTask: () => Task.fromPartial({ id: BULK.repeat(20) }) })]);
    await assert.rejects(served.channel.unary(SchedulerService.statTask, ask, { timeoutMs }), { code: "rpc.resource-exhausted" });
  });

  test(`${name}: streams that nobody reads do not hold up calls beside them`, async () => {
    const services = [
      serviceOf(SchedulerService, { statTask: ({ taskId }) => Task.fromPartial({ id: taskId }) }),
      serviceOf(DfdaemonUploadService, {
        async *syncPieces() {
          for (;;) yield SyncPiecesResponse.fromPartial({ ip: BULK });
        },
      }),
    ];
    await using served = await start(services);
    const leave = new AbortController();
    const streams = Array.from({ length: 8 }, () =>
      served.channel.serverStream(DfdaemonUploadService.syncPieces, SyncPiecesRequest.create(), { signal: leave.signal }),
    );
    for (const stream of streams) await stream.next();
    const { id } = await served.channel.unary(SchedulerService.statTask, ask, { timeoutMs });
    assert.equal(id, "t");
    const reason = new AnaxError("download.cancelled");
    leave.abort(reason);
    for (const stream of streams) await assert.rejects(collect(stream), reason);
  });

  test(`${name}: nobody there is an error at once, and so is a server that leaves; the next call finds a new one`, async () => {
    await using sockets = await socketDirectory();
    using channel = open(sockets.at("nobody").path, { clock: realClock });
    await assert.rejects(channel.unary(SchedulerService.statTask, ask, { timeoutMs }), { code: "rpc.unavailable" });
    const stat = serviceOf(SchedulerService, { statTask: () => Task.create() });
    const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
    const never = serviceOf(SchedulerService, {
      statTask: async (_, call) => {
        onAsked();
        await once(call.signal, "abort");
        throw call.signal.reason;
      },
    });
    const served = await start([never]);
    const lost = served.channel.unary(SchedulerService.statTask, ask, { timeoutMs });
    lost.catch(() => undefined); // looked at below
    await asked;
    await served.server[Symbol.asyncDispose]();
    await assert.rejects(lost, { code: "rpc.unavailable" });
    await using back = await serveLocally([stat], open, served.path);
    using again = back.channel;
    await again.unary(SchedulerService.statTask, ask, { timeoutMs });
    await served[Symbol.asyncDispose]();
  });

  test(`${name}: somebody who accepts and then says nothing is given up when the time to connect is over`, async () => {
    await using sockets = await socketDirectory();
    const { path } = sockets.at("mute");
    const mute = createServer().listen(path);
    await once(mute, "listening");
    const clock = new VirtualClock();
    using channel = open(path, { clock });
    const connected = once(mute, "connection") as Promise<[{ destroy(): void }]>;
    const stream = channel.serverStream(DfdaemonUploadService.syncPieces, SyncPiecesRequest.create(), { signal: unbounded() });
    const responses = collect(stream);
    responses.catch(() => undefined); // looked at below
    const [socket] = await connected;
    await clock.advance(5000);
    await assert.rejects(responses, {
      code: "rpc.unavailable",
      details: { address: `unix:${path}`, reason: "no connection in time", connectTimeoutMs: 5000 },
    });
    assert.equal(clock.pending, 0);
    socket.destroy();
    mute.close();
  });
}
