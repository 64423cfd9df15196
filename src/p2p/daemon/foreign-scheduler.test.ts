import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { aDownload, codeOf, sha256Of, startTestDaemon, until, type TestDaemon } from "../../../test/kit/daemon.ts";
import { sha256OfGenerated } from "../../../test/kit/generated-content.ts";
import { startOrigin } from "../../../test/kit/origin.ts";
import { realClock } from "../../base/clock.ts";
import { Peer, type Host as WireHost } from "../../wire/grpc/gen/common/v2/common.ts";
import {
  NormalTaskResponse,
  SchedulerService,
  type AnnouncePeerRequest,
  type AnnouncePeerResponse,
} from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { GrpcServer } from "../../wire/grpc/server.ts";
import { serviceOf } from "../../wire/grpc/service.ts";

const MIB = 1024 * 1024;
const CONTENT = { bytes: 21 * MIB, seed: 31 };

type Answer = NonNullable<AnnouncePeerResponse["response"]>;

interface Foreign extends AsyncDisposable {
  readonly address: string;
  readonly hosts: ReadonlyMap<string, WireHost>;
  readonly reports: readonly AnnouncePeerRequest[];
  readonly gone: readonly string[];
}

/** A scheduler that knows nothing of ours: no Attach, answers as Dragonfly's does, and closes a stream after its last report. */
async function startForeign(decide: (request: AnnouncePeerRequest) => Answer | undefined): Promise<Foreign> {
  const hosts = new Map<string, WireHost>();
  const reports: AnnouncePeerRequest[] = [];
  const gone: string[] = [];
  const service = serviceOf(SchedulerService, {
    announceHost({ host }) {
      if (host !== undefined) hosts.set(host.id, host);
      return {};
    },
    deleteHost({ hostId }) {
      gone.push(hostId);
      return {};
    },
    async announcePeer({ requests, send }) {
      for await (const request of requests) {
        reports.push(request);
        const response = decide(request);
        if (response !== undefined) await send({ response });
        if (/^downloadPeer.*(Finished|Failed)Request$/.test(request.request?.$case ?? "")) return;
      }
    },
  });
  const server = await GrpcServer.start({
    listen: [{ host: "127.0.0.1", port: 0 }],
    services: [service],
    clock: realClock,
    onError: () => undefined,
    drainTimeoutMs: 100,
  });
  const [address] = server.addresses;
  assert.ok(address !== undefined && "port" in address);
  return { address: `127.0.0.1:${address.port}`, hosts, reports, gone, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const backToSource: Answer = {
  $case: "needBackToSourceResponse",
  value: { description: "first", rejections: [], foreignHosts: false, spans: [] },
};

const offer = (peer: Peer): Answer => ({
  $case: "normalTaskResponse",
  value: NormalTaskResponse.fromPartial({ candidateParents: [peer] }),
});

const casesOf = (reports: readonly AnnouncePeerRequest[]): string[] => reports.map(({ request }) => request?.$case ?? "");

const isForeign = (daemon: TestDaemon) => () => daemon.daemon.schedulers.every(({ state }) => state === "foreign");

test("a Dragonfly scheduler hears lengths at once, every piece, and the end; and of the host when it comes and goes", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using foreign = await startForeign(({ request }) => (request?.$case === "registerPeerRequest" ? backToSource : undefined));
  const daemon = await startTestDaemon({ name: "one", schedulers: [foreign.address] });
  {
    await using _stop = daemon;
    await until(isForeign(daemon));
    using download = daemon.daemon.downloads.start(aDownload(origin.url("/file")));
    assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
    await until(() => casesOf(foreign.reports).at(-1) === "downloadPeerBackToSourceFinishedRequest");
    const [register] = foreign.reports;
    assert.ok(register?.request?.$case === "registerPeerRequest");
    const { actualContentLength, actualPieceLength, actualPieceCount } = register.request.value.download ?? {};
    assert.deepEqual([actualContentLength, actualPieceLength, actualPieceCount], [CONTENT.bytes, 4 * MIB, 6]);
    assert.deepEqual(casesOf(foreign.reports).slice(1, 3), [
      "downloadPeerBackToSourceStartedRequest",
      "downloadPieceBackToSourceFinishedRequest",
    ]);
    assert.equal(casesOf(foreign.reports).filter((name) => name === "downloadPieceBackToSourceFinishedRequest").length, 6);
    assert.equal(foreign.hosts.get(daemon.daemon.host.id)?.port, daemon.uploadPort);
  }
  assert.deepEqual(foreign.gone, [daemon.daemon.host.id]);
});

test("parents that a Dragonfly scheduler names are used, and useless ones are given back", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using parent = await startTestDaemon({ name: "parent", mesh: { enabled: false } });
  using held = parent.daemon.downloads.start(aDownload(origin.url("/file")));
  await held.done;
  const dead = Peer.fromPartial({ id: "dead", host: { id: "dead", ip: "127.0.0.1", port: 1, downloadPort: 1 } });
  const good = Peer.fromPartial({ id: held.peerId, host: parent.daemon.host.message() });
  await using foreign = await startForeign(({ request }) => {
    if (request?.$case === "registerPeerRequest") return offer(dead);
    return request?.$case === "reschedulePeerRequest" ? offer(good) : undefined;
  });
  await using child = await startTestDaemon({ name: "child", schedulers: [foreign.address], config: { parentBackoffMs: "10ms" } });
  await until(isForeign(child));
  using download = child.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
  assert.equal(origin.totals().gets, 1);
  await until(() => casesOf(foreign.reports).at(-1) === "downloadPeerFinishedRequest");
  const rescheduled = foreign.reports.find(({ request }) => request?.$case === "reschedulePeerRequest")?.request;
  assert.ok(rescheduled?.$case === "reschedulePeerRequest");
  assert.deepEqual(
    rescheduled.value.candidateParents.map(({ id }) => id),
    ["dead"],
  );
});

test("a parent that lies and is offered again and again leads to the source, not to a wait without end", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using parent = await startTestDaemon({ name: "parent", mesh: { enabled: false } });
  using held = parent.daemon.downloads.start(aDownload(origin.url("/file")));
  await held.done;
  const { path } = await held.stored;
  await chmod(path, 0o600);
  await writeFile(path, new Uint8Array(CONTENT.bytes)); // what it serves no longer is what its checksums say
  const liar = Peer.fromPartial({ id: held.peerId, host: parent.daemon.host.message() });
  await using foreign = await startForeign(({ request }) =>
    request?.$case === "registerPeerRequest" || request?.$case === "reschedulePeerRequest" ? offer(liar) : undefined,
  );
  await using child = await startTestDaemon({ name: "child", schedulers: [foreign.address], config: { reschedulesMax: 2 } });
  await until(isForeign(child));
  using download = child.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
  assert.equal(origin.totals().gets, 2);
});

test("each download takes part under a new name, and the source's answer is handed on", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { methods: ["GET"], status: 403 } } });
  await using foreign = await startForeign(({ request }) => (request?.$case === "registerPeerRequest" ? backToSource : undefined));
  await using daemon = await startTestDaemon({ name: "one", schedulers: [foreign.address] });
  await until(isForeign(daemon));
  const names = new Set<string>();
  for (let attempt = 0; attempt < 2; attempt++) {
    using download = daemon.daemon.downloads.start(aDownload(origin.url("/file")));
    names.add(download.peerId);
    assert.equal(await codeOf(download.done), "source.forbidden");
  }
  assert.equal(names.size, 2);
  await until(() => casesOf(foreign.reports).filter((name) => name === "downloadPeerBackToSourceFailedRequest").length === 2);
  const failed = foreign.reports.find(({ request }) => request?.$case === "downloadPieceBackToSourceFailedRequest")?.request;
  assert.ok(failed?.$case === "downloadPieceBackToSourceFailedRequest" && failed.value.response?.$case === "backend");
  assert.equal(failed.value.response.value.statusCode, 403);
});

const empty: Answer = { $case: "emptyTaskResponse", value: {} };

const answerRegisters = (answer: Answer) => (request: AnnouncePeerRequest) =>
  request.request?.$case === "registerPeerRequest" ? answer : undefined;

test("content of unknown length is never offered to a Dragonfly scheduler, which would call it empty", async () => {
  const faults = { "/file": { chunked: true, ignoreRange: true } };
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults });
  await using foreign = await startForeign(answerRegisters(empty));
  await using daemon = await startTestDaemon({ name: "one", schedulers: [foreign.address] });
  await until(isForeign(daemon));
  using download = daemon.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
  assert.deepEqual(casesOf(foreign.reports), []);
});

test("a Dragonfly scheduler that remembers a file as empty does not empty it", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  await using foreign = await startForeign(answerRegisters(empty));
  await using daemon = await startTestDaemon({ name: "one", schedulers: [foreign.address] });
  await until(isForeign(daemon));
  using download = daemon.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
  await until(() => casesOf(foreign.reports).at(-1) === "downloadPeerBackToSourceFinishedRequest");
});

test("a Dragonfly scheduler hears nothing of a download whose source refused before it was registered", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/gone": { status: 404 } } });
  await using foreign = await startForeign(answerRegisters(backToSource));
  await using daemon = await startTestDaemon({ name: "one", schedulers: [foreign.address] });
  await until(isForeign(daemon));
  using refused = daemon.daemon.downloads.start(aDownload(origin.url("/gone")));
  assert.equal(await codeOf(refused.done), "source.not-found");
  using download = daemon.daemon.downloads.start(aDownload(origin.url("/file")));
  await download.done;
  await until(() => casesOf(foreign.reports).at(-1) === "downloadPeerBackToSourceFinishedRequest");
  assert.deepEqual(new Set(foreign.reports.map(({ taskId }) => taskId)), new Set([download.taskId]));
});
