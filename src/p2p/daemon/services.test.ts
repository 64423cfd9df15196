import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { aDownload, codeOf, startTestDaemon, type TestDaemon } from "../../../test/kit/daemon.ts";
import { generate, sha256OfGenerated } from "../../../test/kit/generated-content.ts";
import { startOrigin } from "../../../test/kit/origin.ts";
import type { GrpcChannel } from "../../wire/grpc/client.ts";
import { Download as WireDownload } from "../../wire/grpc/gen/common/v2/common.ts";
import { DaemonService } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import {
  DfdaemonDownloadService,
  DfdaemonUploadService,
  type DownloadTaskResponse,
  type SyncPiecesResponse,
} from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";

const MIB = 1024 * 1024;
const CONTENT = { bytes: 9 * MIB + 7, seed: 21 };
const never = new AbortController().signal;
const CALL = { timeoutMs: 10_000 };

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

const get = (channel: GrpcChannel, download: Parameters<typeof WireDownload.fromPartial>[0]): Promise<DownloadTaskResponse[]> =>
  all(channel.serverStream(DfdaemonDownloadService.downloadTask, { download: WireDownload.fromPartial(download) }, { signal: never }));

const startedOf = (responses: readonly DownloadTaskResponse[]) =>
  responses[0]?.response?.$case === "downloadTaskStartedResponse" ? responses[0].response.value : undefined;

const piecesOf = (responses: readonly DownloadTaskResponse[]) =>
  responses.slice(1).flatMap(({ response }) => (response?.$case === "downloadPieceFinishedResponse" ? (response.value.piece ?? []) : []));

async function withOutput(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "anax-output-"));
  try {
    await use(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

test("dfget's call: started, a message for each piece, and the file at its place", () =>
  withOutput(async (dir) => {
    await using origin = await startOrigin({ content: { "/file": CONTENT } });
    await using alone = await startTestDaemon({ name: "alone" });
    const outputPath = join(dir, "out");
    const responses = await get(alone.channel, {
      url: origin.url("/file"),
      outputPath,
      pieceLength: 4 * MIB,
      digest: `sha256:${sha256OfGenerated(CONTENT)}`,
    });
    const started = startedOf(responses);
    assert.equal(started?.contentLength, CONTENT.bytes);
    assert.equal(started?.isFinished, false);
    const pieces = piecesOf(responses);
    assert.equal((started?.pieces.length ?? 0) + pieces.length, 3);
    assert.ok(pieces.every(({ trafficType, digest }) => trafficType === 0 && /^crc32:\d+$/.test(digest)));
    assert.ok((await readFile(outputPath)).equals(generate(CONTENT)));
    const again = await get(alone.channel, { url: origin.url("/file"), outputPath: join(dir, "again"), pieceLength: 4 * MIB });
    assert.equal(startedOf(again)?.isFinished, true);
    assert.equal(startedOf(again)?.pieces.length, 3);
    assert.equal(again.length, 1);
    assert.equal((await stat(outputPath)).ino, (await stat(join(dir, "again"))).ino, "both are hard links");
    assert.equal(origin.totals().gets, 1);
  }));

test("an output that is there is not replaced, unless asked; nothing is left beside it", () =>
  withOutput(async (dir) => {
    await using origin = await startOrigin({ content: { "/file": CONTENT } });
    await using alone = await startTestDaemon({ name: "alone" });
    const outputPath = join(dir, "out");
    await writeFile(outputPath, "old");
    assert.equal(await codeOf(get(alone.channel, { url: origin.url("/file"), outputPath })), "output.exists");
    assert.equal(origin.totals().gets, 0, "found out before anything is fetched");
    await get(alone.channel, { url: origin.url("/file"), outputPath, overwrite: true });
    assert.equal((await stat(outputPath)).size, CONTENT.bytes);
    assert.equal(await codeOf(get(alone.channel, { url: origin.url("/file"), outputPath: join(dir, "no/where") })), "output.unwritable");
    assert.equal(await codeOf(get(alone.channel, { url: origin.url("/file"), outputPath: "relative" })), "input.invalid");
    assert.equal(await codeOf(get(alone.channel, { url: origin.url("/missing"), outputPath: join(dir, "missing") })), "source.not-found");
    assert.deepEqual(await readdir(dir), ["out"]);
  }));

test("a range is delivered as a file, and as content in order", () =>
  withOutput(async (dir) => {
    await using origin = await startOrigin({ content: { "/file": CONTENT } });
    await using alone = await startTestDaemon({ name: "alone" });
    const range = { start: 3 * MIB, length: 4 * MIB };
    const expected = generate(CONTENT).subarray(3 * MIB, 7 * MIB);
    const outputPath = join(dir, "part");
    const responses = await get(alone.channel, { url: origin.url("/file"), outputPath, range, pieceLength: 4 * MIB });
    assert.deepEqual(startedOf(responses)?.range, range);
    assert.ok((await readFile(outputPath)).equals(expected));
    const content = piecesOf(await get(alone.channel, { url: origin.url("/file"), needPieceContent: true, range, pieceLength: 4 * MIB }));
    assert.deepEqual(
      content.map(({ number, offset, length }) => [number, offset, length]),
      [
        [0, 3 * MIB, MIB],
        [1, 4 * MIB, 3 * MIB],
      ],
    );
    assert.ok(Buffer.concat(content.map((piece) => piece.content ?? Buffer.alloc(0))).equals(expected));
    assert.equal(
      await codeOf(get(alone.channel, { url: origin.url("/file"), range: { start: CONTENT.bytes, length: 1 } })),
      "task.range-unsatisfiable",
    );
  }));

test("content through the socket is complete and in order", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT, "/empty": "" } });
  await using alone = await startTestDaemon({ name: "alone" });
  const pieces = piecesOf(await get(alone.channel, { url: origin.url("/file"), needPieceContent: true }));
  assert.ok(Buffer.concat(pieces.map((piece) => piece.content ?? Buffer.alloc(0))).equals(generate(CONTENT)));
  assert.equal(startedOf(await get(alone.channel, { url: origin.url("/empty"), needPieceContent: true }))?.contentLength, 0);
});

test("errors cross the socket with their codes and details", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT, "/slow": CONTENT }, faults: { "/slow": { stallAfterBytes: 0 } } });
  await using alone = await startTestDaemon({ name: "alone" });
  const code = (download: Parameters<typeof WireDownload.fromPartial>[0]) => codeOf(get(alone.channel, download));
  assert.equal(await code({ url: origin.url("/missing") }), "source.not-found");
  assert.equal(await code({ url: origin.url("/file"), digest: `sha256:${"0".repeat(64)}` }), "task.digest-mismatch");
  assert.equal(await code({ url: origin.url("/missing"), disableBackToSource: true }), "download.no-source");
  assert.equal(await code({ url: origin.url("/slow"), timeout: { seconds: 0, nanos: 50_000_000 } }), "download.deadline");
});

test("requests that make no sense are refused, each with a code", async () => {
  await using alone = await startTestDaemon({ name: "alone" });
  const { channel, upload } = alone;
  const code = (download: Parameters<typeof WireDownload.fromPartial>[0]) => codeOf(get(channel, download));
  assert.equal(await code({}), "input.invalid");
  assert.equal(await code({ url: "::" }), "input.invalid");
  assert.equal(await code({ url: "http://h/", pieceLength: 5 }), "input.invalid");
  assert.equal(await code({ url: "http://h/", digest: "md5:00" }), "input.invalid");
  assert.equal(await code({ url: "http://h/", certificateChain: [new Uint8Array(5)] }), "input.invalid");
  assert.equal(await code({ url: "gopher://h/" }), "source.unsupported");
  assert.equal(await codeOf(all(channel.serverStream(DfdaemonDownloadService.downloadTask, {}, { signal: never }))), "input.invalid");
  for (const taskId of ["", "../../etc/passwd", "X".repeat(64)]) {
    assert.equal(await codeOf(channel.unary(DfdaemonDownloadService.statLocalTask, { taskId }, CALL)), "input.invalid");
    assert.equal(await codeOf(channel.unary(DaemonService.explain, { taskId, peer: "" }, CALL)), "input.invalid");
    assert.equal(await codeOf(upload.unary(DfdaemonUploadService.deleteTask, { taskId }, CALL)), "input.invalid");
    const sync = upload.serverStream(
      DfdaemonUploadService.syncPieces,
      { hostId: "h", taskId, interestedPieceNumbers: [] },
      { signal: never },
    );
    assert.equal(await codeOf(all(sync)), "input.invalid");
  }
  const garbage = { ...DfdaemonUploadService.syncPieces, requestSerialize: () => Buffer.from([0xff, 0xff, 0xff, 0x01]) };
  const torn = upload.serverStream(garbage, { hostId: "", taskId: "", interestedPieceNumbers: [] }, { signal: never });
  assert.equal(await codeOf(all(torn)), "input.invalid");
  assert.equal(await codeOf(upload.unary(DfdaemonUploadService.statPersistentTask, { taskId: "" }, CALL)), "rpc.unimplemented");
});

const sync = (daemon: TestDaemon, taskId: string, interestedPieceNumbers: readonly number[] = []): Promise<SyncPiecesResponse[]> =>
  all(daemon.upload.serverStream(DfdaemonUploadService.syncPieces, { hostId: "child", taskId, interestedPieceNumbers }, { signal: never }));

test("a child hears of pieces here and of those that land, even when it asks before the download begins", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using parent = await startTestDaemon({ name: "parent" });
  const request = aDownload(origin.url("/file"), { pieceLength: 4 * MIB });
  const taskId = parent.daemon.downloads.taskIdOf(request);
  const early = sync(parent, taskId);
  using download = parent.daemon.downloads.start(request);
  const port = { tcpPort: parent.transferPort, quicPort: undefined };
  const expected = [
    { number: 0, offset: 0, length: 4 * MIB, ip: "127.0.0.1", ...port },
    { number: 1, offset: 4 * MIB, length: 4 * MIB, ip: "127.0.0.1", ...port },
    { number: 2, offset: 8 * MIB, length: MIB + 7, ip: "127.0.0.1", ...port },
  ];
  assert.deepEqual(await early, expected);
  await download.done;
  assert.deepEqual(await sync(parent, taskId), expected);
  assert.deepEqual(await sync(parent, taskId, [1]), [expected[1]]);
  assert.equal(await codeOf(sync(parent, taskId, [3])), "input.invalid");
});

test("a child is told soon that a task is not here and does not come", async () => {
  await using parent = await startTestDaemon({ name: "parent", config: { syncWaitMs: "100ms" } });
  assert.equal(await codeOf(sync(parent, "a".repeat(64))), "task.not-found");
});

test("an order to seed is carried out although the one who gave it leaves", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using seed = await startTestDaemon({ name: "seed", seed: true });
  const leave = new AbortController();
  const request = { download: WireDownload.fromPartial({ url: origin.url("/file"), needBackToSource: true }) };
  for await (const { response } of seed.upload.serverStream(DfdaemonUploadService.downloadTask, request, { signal: leave.signal })) {
    assert.equal(response?.$case, "downloadTaskStartedResponse");
    break;
  }
  leave.abort(new Error("gone"));
  using download = seed.daemon.downloads.start(aDownload(origin.url("/file")));
  await download.done;
  assert.equal(origin.totals().gets, 1);
});

test("an order to read the source counts for more than that the asking peer may not", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using seed = await startTestDaemon({ name: "seed", seed: true });
  const download = WireDownload.fromPartial({ url: origin.url("/file"), needBackToSource: true, disableBackToSource: true });
  await all(seed.upload.serverStream(DfdaemonUploadService.downloadTask, { download }, { signal: never }));
  assert.equal(origin.stats("/file").bytesSent, CONTENT.bytes);
  const forbidden = { download: { ...download, url: `${download.url}?other`, needBackToSource: false } };
  assert.equal(
    await codeOf(all(seed.upload.serverStream(DfdaemonUploadService.downloadTask, forbidden, { signal: never }))),
    "download.no-source",
  );
});

test("what is here can be listed, explained, and deleted when nobody uses it", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using alone = await startTestDaemon({ name: "alone" });
  const { channel, upload, daemon } = alone;
  const download = daemon.downloads.start(aDownload(origin.url("/file")));
  await download.done;
  const { taskId } = download;
  const [task] = await all(channel.serverStream(DaemonService.listTasks, {}, { signal: never }));
  assert.equal(task?.taskId, taskId);
  assert.equal(task?.bytesFromSource, CONTENT.bytes);
  assert.deepEqual(task?.inUse, ["download"]);
  const explained = await channel.unary(DaemonService.explain, { taskId, peer: "" }, CALL);
  assert.ok(explained.events.some(({ event, fields }) => event === "download.read-source" && fields["because"] === "no-scheduler"));
  assert.match(explained.schedulerError, /no scheduler is configured/);
  assert.equal((await upload.unary(DfdaemonUploadService.statLocalTask, { taskId }, CALL)).contentLength, CONTENT.bytes);
  assert.equal((await channel.unary(DfdaemonDownloadService.listLocalTasks, {}, CALL)).tasks.length, 1);
  assert.equal(await codeOf(channel.unary(DfdaemonDownloadService.deleteTask, { taskId }, CALL)), "task.in-use");
  download[Symbol.dispose]();
  await channel.unary(DfdaemonDownloadService.deleteTask, { taskId }, CALL);
  assert.equal(await codeOf(channel.unary(DfdaemonDownloadService.deleteLocalTask, { taskId }, CALL)), "task.not-found");
  const info = await channel.unary(DaemonService.info, {}, CALL);
  assert.equal(info.host?.build?.gitVersion, "anax/0.0.0-test");
  assert.equal(info.host?.port, alone.uploadPort);
});

test("a host tells how it does, again and again", async () => {
  await using alone = await startTestDaemon({ name: "alone", config: { hostStatsMs: "100ms" } });
  const leave = new AbortController();
  let heard = 0;
  for await (const host of alone.upload.serverStream(
    DfdaemonUploadService.syncHost,
    { hostId: "h", peerId: "p" },
    { signal: leave.signal },
  )) {
    assert.equal(host.downloadPort, alone.transferPort);
    assert.ok((host.memory?.total ?? 0) > 0);
    if (++heard === 3) break;
  }
});
