import assert from "node:assert/strict";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { attached, codeOf, startTestDaemon, startTestScheduler, until, type TestDaemon } from "../../../test/kit/daemon.ts";
import { startOrigin, type Origin } from "../../../test/kit/origin.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { DaemonService, type DownloadFilesResponse } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { Download } from "../../wire/grpc/gen/common/v2/common.ts";

const MIB = 1024 * 1024;
const CALL = { timeoutMs: 10_000 };
const NAMES = ["a", "b", "c", "empty", "big"];
const BIG = { bytes: 9 * MIB + 3, seed: 5 };
const CONTENT = { "/a": "a", "/b": "bb", "/c": "ccc", "/empty": "", "/big": BIG };
const BYTES = 6 + BIG.bytes;

interface Call {
  readonly names?: readonly string[];
  readonly download?: Parameters<typeof Download.fromPartial>[0];
  readonly atOnce?: number;
  readonly signal?: AbortSignal;
}

/** All answers to one call for files of an origin, which go to `dir`. */
async function get({ channel }: TestDaemon, from: Origin, dir: string, call: Call = {}) {
  const { names = NAMES, download = {}, atOnce = 2, signal = new AbortController().signal } = call;
  const files = names.map((name) => ({ url: from.url(`/${name}`), outputPath: join(dir, name) }));
  const answers: DownloadFilesResponse[] = [];
  const request = { download: Download.fromPartial(download), files, atOnce };
  for await (const answer of channel.serverStream(DaemonService.downloadFiles, request, { signal })) answers.push(answer);
  return answers;
}

const sentBy = (origin: Origin): number => NAMES.reduce((sum, name) => sum + origin.stats(`/${name}`).bytesSent, 0);

test("one call brings many files to their paths, and tells which are there and where their bytes came from", async () => {
  await using out = await temporaryDirectory();
  await using origin = await startOrigin({ content: CONTENT });
  await using alone = await startTestDaemon({ name: "alone" });
  const answers = await get(alone, origin, out.path);
  assert.deepEqual(
    answers.flatMap(({ done }) => done).toSorted((a, b) => a - b),
    [0, 1, 2, 3, 4],
  );
  const { bytesFromSource, bytesFromPeers, bytesFromDisk } = answers.at(-1)!;
  assert.deepEqual([bytesFromSource, bytesFromPeers, bytesFromDisk], [BYTES, 0, 0]);
  assert.equal(await readFile(join(out.path, "c"), "utf8"), "ccc");
  assert.equal((await readFile(join(out.path, "big"))).length, BIG.bytes);
  assert.equal((await readFile(join(out.path, "empty"))).length, 0);

  const again = await get(alone, origin, out.path, { download: { overwrite: true } });
  assert.equal(again.at(-1)?.bytesFromDisk, BYTES);
  assert.equal(sentBy(origin), BYTES);
  for (const stored of alone.store.list()) {
    const { events } = await alone.channel.unary(DaemonService.explain, { taskId: stored.meta.id, peer: "" }, CALL);
    assert.ok(events.some(({ event }) => event === "download.done"));
  }
});

test("hosts that want the same files at the same time read each of them from the source once", async () => {
  await using out = await temporaryDirectory();
  await using origin = await startOrigin({ content: CONTENT });
  await using scheduler = await startTestScheduler();
  const schedulers = [scheduler.address];
  await using one = await startTestDaemon({ name: "one", schedulers });
  await using two = await startTestDaemon({ name: "two", schedulers });
  await Promise.all([attached(one), attached(two)]);
  await Promise.all(
    [one, two].map(async (daemon, place) => {
      const names = NAMES.filter((name) => name !== "empty");
      await get(daemon, origin, out.path, { names: place === 0 ? names : names.toReversed(), download: { overwrite: true } });
    }),
  );
  assert.equal(sentBy(origin), BYTES);
});

test("the first failure ends the call: what runs is let go of, and no other is begun", async () => {
  await using out = await temporaryDirectory();
  await using origin = await startOrigin({ content: CONTENT, faults: { "/big": { stallAfterBytes: 0 } } });
  await using alone = await startTestDaemon({ name: "alone" });
  const names = ["big", "a", "missing", "b", "c"];
  assert.equal(await codeOf(get(alone, origin, out.path, { names })), "source.not-found");
  assert.deepEqual(await readdir(out.path), ["a"]);
  await until(() => alone.store.list().every(({ inUse }) => !inUse.includes("download")));
  assert.equal(origin.requests.filter(({ path }) => path === "/b" || path === "/c").length, 0);
});

test("what lies at a path stays there unless it may be replaced", async () => {
  await using out = await temporaryDirectory();
  await using origin = await startOrigin({ content: CONTENT });
  await using alone = await startTestDaemon({ name: "alone" });
  await writeFile(join(out.path, "b"), "mine");
  assert.equal(await codeOf(get(alone, origin, out.path, { names: ["b"] })), "output.exists");
  assert.equal(await readFile(join(out.path, "b"), "utf8"), "mine");
});

test("who leaves ends the downloads of the call", async () => {
  await using out = await temporaryDirectory();
  await using origin = await startOrigin({ content: CONTENT, faults: { "/big": { stallAfterBytes: MIB } } });
  await using alone = await startTestDaemon({ name: "alone" });
  const leave = new AbortController();
  const call = get(alone, origin, out.path, { names: ["big"], signal: leave.signal });
  await until(() => alone.store.list().some(({ inUse }) => inUse.includes("download")));
  leave.abort(new Error("enough"));
  await assert.rejects(call, /enough/);
  await until(() => alone.store.list().every(({ inUse }) => !inUse.includes("download")));
  assert.deepEqual(await readdir(out.path), []);
});

test("a file that takes longer than it may fails by the daemon's deadline", async () => {
  await using out = await temporaryDirectory();
  await using origin = await startOrigin({ content: CONTENT, faults: { "/a": { stallAfterBytes: -1 } } });
  await using alone = await startTestDaemon({ name: "alone" });
  const download = { timeout: { seconds: 0, nanos: 50_000_000 } };
  assert.equal(await codeOf(get(alone, origin, out.path, { names: ["a"], download })), "download.deadline");
});

test("orders for one file only, for paths that are none, and for too many files are refused", async () => {
  await using origin = await startOrigin({ content: CONTENT });
  await using alone = await startTestDaemon({ name: "alone" });
  for (const download of [{ digest: "crc32:1" }, { range: { start: 0, length: 1 } }, { needPieceContent: true }, { metadataOnly: true }])
    assert.equal(await codeOf(get(alone, origin, "/nowhere", { download })), "input.invalid");
  assert.equal(await codeOf(get(alone, origin, "relative")), "input.invalid");
  assert.equal(await codeOf(get(alone, origin, "/nowhere", { names: Array<string>(5000).fill("a") })), "limit.exceeded");
  assert.equal(origin.requests.length, 0);
});
