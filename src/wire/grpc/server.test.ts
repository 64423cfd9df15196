import assert from "node:assert/strict";
import { once } from "node:events";
import { link, lstat, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import type { AnaxError } from "../../base/errors.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import type { GrpcAddress } from "./address.ts";
import { openChannel } from "./client.ts";
import { Task } from "./gen/common/v2/common.ts";
import { DfdaemonUploadService, SyncPiecesRequest, SyncPiecesResponse } from "./gen/dfdaemon/v2/dfdaemon.ts";
import { SchedulerService } from "./gen/scheduler/v2/scheduler.ts";
import { collect, LOOPBACK, serve, socketDirectory, unbounded } from "./grpc-fixture.ts";
import { GrpcServer } from "./server.ts";
import { serviceOf, unimplementedOf } from "./service.ts";

const ask = { hostId: "h", taskId: "t" };
const answering = serviceOf(SchedulerService, { statTask: () => Task.create() });
const start = (...listen: readonly GrpcAddress[]) =>
  GrpcServer.start({ listen, services: [answering], clock: realClock, onError: assert.fail });

async function assertAnswers(address: GrpcAddress): Promise<void> {
  using channel = openChannel(address, { clock: realClock });
  await channel.unary(SchedulerService.statTask, ask, { timeoutMs: 10_000 });
}

test("a TCP port that is taken is named, and what listened already is given back", async () => {
  await using sockets = await socketDirectory();
  await using first = await start(LOOPBACK);
  const [taken] = first.addresses;
  assert.ok(taken !== undefined);
  await assert.rejects(start(sockets.at("s"), taken), { code: "listen.address-in-use" });
  await assert.rejects(lstat(sockets.at("s").path), { code: "ENOENT" });
  await assertAnswers(taken);
});

test("an address that is not ours to listen on is refused", async () => {
  await assert.rejects(start({ host: "192.0.2.1", port: 0 }), { code: "listen.failed" });
});

test("a Unix socket on which somebody answers is never taken over", async () => {
  await using sockets = await socketDirectory();
  await using first = await start(sockets.at("s"));
  assert.deepEqual(first.addresses, [sockets.at("s")]);
  await assert.rejects(start(sockets.at("s")), { code: "listen.address-in-use" });
  await assertAnswers(sockets.at("s"));
});

test("a Unix socket that a crash left behind is replaced, open to user and group only, and removed in the end", async () => {
  await using sockets = await socketDirectory();
  const { path } = sockets.at("s");
  const crashed = createServer().listen(`${path}.old`);
  await once(crashed, "listening");
  await link(`${path}.old`, path); // closing removes only the name that it was bound to
  await new Promise((resolve) => crashed.close(resolve));
  assert.ok((await lstat(path)).isSocket());
  const server = await start({ path });
  assert.equal((await stat(path)).mode & 0o777, 0o660);
  await assertAnswers({ path });
  await server[Symbol.asyncDispose]();
  await assert.rejects(lstat(path), { code: "ENOENT" });
});

test("a path that is no socket stays as it is", async () => {
  await using sockets = await socketDirectory();
  const { path } = sockets.at("file");
  await writeFile(path, "precious");
  await assert.rejects(start({ path }), { code: "listen.failed" });
  assert.equal(await readFile(path, "utf8"), "precious");
});

test("a socket path that the system would cut is refused before", async () => {
  await assert.rejects(start({ path: `/tmp/${"x".repeat(120)}` }), { code: "input.invalid" });
});

test("stopping asks endless streams to end and lets finite calls finish", async () => {
  const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
  const { promise: permitted, resolve: permit } = Promise.withResolvers<void>();
  const served = await serve([
    serviceOf(SchedulerService, {
      statTask: async () => {
        onAsked();
        await permitted;
        return Task.fromPartial({ id: "finished" });
      },
    }),
    serviceOf(DfdaemonUploadService, {
      async *syncPieces(_, call) {
        yield SyncPiecesResponse.create();
        await once(call.draining, "abort");
      },
    }),
  ]);
  const answer = served.channel.unary(SchedulerService.statTask, ask, { timeoutMs: 10_000 });
  await asked;
  let stopped: Promise<void> | undefined;
  for await (const _ of served.channel.serverStream(DfdaemonUploadService.syncPieces, SyncPiecesRequest.create(), {
    signal: unbounded(),
  })) {
    stopped = served.server[Symbol.asyncDispose]();
  }
  permit();
  assert.equal((await answer).id, "finished");
  await stopped;
  await served[Symbol.asyncDispose]();
  assert.deepEqual(served.reported, []);
});

test("a call that does not end by itself is ended at the drain deadline, with an error that says why", async () => {
  const clock = new VirtualClock();
  const { promise: reason, resolve } = Promise.withResolvers<unknown>();
  const stubborn = serviceOf(DfdaemonUploadService, {
    async *syncPieces(_, call) {
      yield SyncPiecesResponse.create();
      await once(call.signal, "abort");
      resolve(call.signal.reason);
      throw call.signal.reason;
    },
  });
  const served = await serve([stubborn], { clock, drainTimeoutMs: 3000 });
  const stream = served.channel.serverStream(DfdaemonUploadService.syncPieces, SyncPiecesRequest.create(), { signal: unbounded() });
  assert.equal((await stream.next()).done, false);
  const stopped = served.server[Symbol.asyncDispose]();
  await clock.advance(3000);
  await assert.rejects(collect(stream), { code: "rpc.unavailable", details: { reason: "the server is stopping" } });
  assert.equal(((await reason) as AnaxError).code, "rpc.unavailable");
  await stopped;
  await served[Symbol.asyncDispose]();
  assert.equal(clock.pending, 0);
});

test("a handler that ignores its signal does not keep the server from stopping", async () => {
  const clock = new VirtualClock();
  const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
  const { promise: never, resolve: release } = Promise.withResolvers<void>();
  const deaf = serviceOf(SchedulerService, {
    statTask: async () => {
      onAsked();
      await never;
      return Task.create();
    },
  });
  const served = await serve([deaf], { clock });
  const answer = served.channel.unary(SchedulerService.statTask, ask, { timeoutMs: 10_000 });
  answer.catch(() => undefined); // looked at below
  await asked;
  const stopped = served.server[Symbol.asyncDispose]();
  await clock.advance(5000);
  await clock.advance(500);
  await stopped;
  await assert.rejects(answer, { code: "rpc.unavailable" });
  release();
  await served[Symbol.asyncDispose]();
});

test("two services on one server do not get into each other's way", async () => {
  await using served = await serve([answering, unimplementedOf(DfdaemonUploadService)]);
  await assertAnswers(served.address);
});
