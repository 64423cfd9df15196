import assert from "node:assert/strict";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { startTestDaemon } from "../../../test/kit/daemon.ts";
import { startOrigin } from "../../../test/kit/origin.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { DaemonService } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { GrpcServer } from "../../wire/grpc/server.ts";
import { serviceOf } from "../../wire/grpc/service.ts";
import { SocketChannel } from "../../wire/grpc/socket-channel.ts";
import type { LocalDaemon } from "../connect.ts";
import type { ProgressState } from "../progress.ts";
import { downloadAll } from "./files.ts";
import type { GetOptions } from "./request.ts";

const OPTIONS = {
  header: [],
  filteredQueryParam: [],
  includeFiles: [],
  timeout: 30_000,
  reconnectTimeout: 0,
  priority: 0,
  maxFiles: 1000,
  maxConcurrentRequests: 4,
  progress: false,
};
const COUNT = 300;

const localDaemon = (socketPath: string): LocalDaemon => {
  const channel = new SocketChannel(socketPath, { clock: realClock });
  return { channel, socketPath, reached: true, foreignUser: false, [Symbol.dispose]: () => channel[Symbol.dispose]() };
};

const rows = [
  ["in few calls", "all"],
  ["one by one, by a daemon that knows no other way", "public"],
] as const;
for (const [how, services] of rows)
  test(`many files arrive below the output directory ${how}`, async () => {
    await using out = await temporaryDirectory();
    const names = Array.from({ length: COUNT }, (_, place) => `deep/${place % 3}/${place}`);
    await using origin = await startOrigin({ content: Object.fromEntries(names.map((name) => [`/${name}`, name])) });
    await using running = await startTestDaemon({ name: "alone" });
    const [download, own] = running.daemon.localServices;
    const path = join(out.path, "socket");
    const listen = [{ path }];
    await using _ = await GrpcServer.start({
      listen,
      services: services === "all" ? [download!, own!] : [download!], // as the daemon orders them
      clock: realClock,
      onError: () => undefined,
      drainTimeoutMs: 100,
    });
    using daemon = localDaemon(path);
    const output = join(out.path, "tree");
    const files = names.map((name) => ({ url: origin.url(`/${name}`), path: name }));
    const options: GetOptions = { ...OPTIONS, output };
    let bytes = 0;
    let sourceBytes = 0;
    const onProgress = (before: ProgressState, now: ProgressState): void => {
      bytes += now.doneBytes - before.doneBytes;
      sourceBytes += now.fromSourceBytes - before.fromSourceBytes;
    };
    const { signal } = new AbortController();
    await downloadAll(daemon, files, { options, signal, onProgress });
    for (const name of names) assert.equal(await readFile(join(output, name), "utf8"), name);
    const all = names.reduce((sum, { length }) => sum + length, 0);
    assert.deepEqual([bytes, sourceBytes], [all, all]);

    // All is there by now, and nothing may be replaced.
    const failed = downloadAll(daemon, files, { options, signal, onProgress });
    await assert.rejects(failed, (error) => error instanceof AnaxError && error.code === "output.exists");
    const outside = downloadAll(daemon, [...files, { url: files[0]!.url, path: "../x" }], { options, signal, onProgress });
    await assert.rejects(outside, (error) => error instanceof AnaxError && error.code === "input.invalid");
    assert.deepEqual((await readdir(out.path)).toSorted(), ["socket", "tree"]);
  });

test("when the connection breaks, only what is not there yet is asked for, file by file", async () => {
  await using out = await temporaryDirectory();
  const names = ["told", "there", "left", "more"];
  await using origin = await startOrigin({ content: Object.fromEntries(names.map((name) => [`/${name}`, name])) });
  await using running = await startTestDaemon({ name: "alone" });
  const [download] = running.daemon.localServices;
  const breaking = serviceOf(DaemonService, {
    async *downloadFiles({ files }) {
      for (const place of [0, 1]) await writeFile(files[place]!.outputPath, "whole"); // of four
      yield { bytesFromSource: 10, bytesFromPeers: 0, bytesFromDisk: 0, done: [0] };
      throw new AnaxError("rpc.unavailable", { reason: "gone" });
    },
  });
  const path = join(out.path, "socket");
  await using _ = await GrpcServer.start({
    listen: [{ path }],
    services: [download!, breaking], // as the daemon orders them
    clock: realClock,
    onError: () => undefined,
    drainTimeoutMs: 100,
  });
  using daemon = localDaemon(path);
  const output = join(out.path, "tree");
  const files = names.map((name) => ({ url: origin.url(`/${name}`), path: name }));
  const { signal } = new AbortController();
  // All in one call: two would each break.
  await downloadAll(daemon, files, { options: { ...OPTIONS, output, maxConcurrentRequests: 1 }, signal, onProgress: () => undefined });
  const texts = await Promise.all(names.map((name) => readFile(join(output, name), "utf8")));
  assert.deepEqual(texts, ["whole", "whole", "left", "more"]);
});

test("of nothing, nothing arrives", async () => {
  using daemon = localDaemon("/nowhere/socket"); // nobody is asked
  const { signal } = new AbortController();
  await downloadAll(daemon, [], { options: { ...OPTIONS, output: "/nowhere" }, signal, onProgress: () => assert.fail() });
});
