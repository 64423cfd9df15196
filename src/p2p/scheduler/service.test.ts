import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import { serve } from "../../wire/grpc/grpc-fixture.ts";
import { SchedulerService as OwnService } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { DfdaemonUploadService } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { PreheatImageRequest, SchedulerService } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { serviceOf } from "../../wire/grpc/service.ts";
import { aDownload, aHost, announce, type Answer, attachHost, Dialogue, MIB, serveScheduler, Talker, TASK_ID } from "./service-fixture.ts";

const LENGTHS = { actualContentLength: 8 * MIB, actualPieceLength: 4 * MIB, actualPieceCount: 2 };
const timeoutMs = 5000;

const neighboursOf = (answer: Answer | undefined): string[] =>
  answer?.$case === "normalTaskResponse" ? answer.value.neighbours.map(({ peerId }) => peerId) : [];

function parentsOf(answer: Answer | undefined) {
  assert.equal(answer?.$case, "normalTaskResponse");
  return answer.value.candidateParents;
}

test("two foreign clients hold the classic dialogue: one reads the source, the other gets it as parent", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  const [hostA, hostB] = [aHost("a"), aHost("b")];
  await announce(channel, hostA);
  await announce(channel, hostB);

  using a = new Dialogue(channel, hostA);
  await a.register(aDownload(LENGTHS));
  assert.equal((await a.next())?.$case, "needBackToSourceResponse");
  await a.report({ $case: "downloadPeerBackToSourceStartedRequest", value: {} });
  await a.sourcePiece(0);
  await a.heard(1);

  using b = new Dialogue(channel, hostB);
  await b.register(aDownload(LENGTHS));
  const [parent] = parentsOf(await b.next());
  assert.equal(parent?.id, a.peerId);
  assert.deepEqual([parent?.host?.ip, parent?.host?.port, parent?.host?.downloadPort], ["127.0.0.1", 65_000, 65_001]);
  assert.deepEqual([...(parent?.finishedPieces ?? [])], [1]);
  assert.equal(parent?.task?.contentLength, 8 * MIB);
  await b.report({ $case: "downloadPeerStartedRequest", value: {} });
  await b.peerPiece(0, a.peerId);

  await a.sourcePiece(1);
  await a.report({ $case: "downloadPeerBackToSourceFinishedRequest", value: {} });
  assert.equal(await a.next(), undefined, "the scheduler closes after the last report");
  await b.peerPiece(1, a.peerId);
  await b.report({ $case: "downloadPeerFinishedRequest", value: {} });
  assert.equal(await b.next(), undefined);

  const task = await channel.unary(SchedulerService.statTask, { hostId: hostA.id, taskId: TASK_ID }, { timeoutMs });
  assert.deepEqual([task.state, task.peerCount, task.pieceCount, task.hasAvailablePeer], ["Succeeded", 2, 2, true]);
  const peer = await channel.unary(SchedulerService.statPeer, { hostId: hostB.id, taskId: TASK_ID, peerId: b.peerId }, { timeoutMs });
  assert.equal(peer.state, "Succeeded");
  assert.deepEqual(scheduler.reported, []);
});

test("a foreign client that gives up its parents gets them back after a while, not never", async () => {
  await using scheduler = await serveScheduler({ blockFirstMs: "100ms", blockRelaxedMs: "0ms" });
  const { channel } = scheduler;
  const [hostA, hostB] = [aHost("a"), aHost("b")];
  await announce(channel, hostA);
  await announce(channel, hostB);
  using a = new Dialogue(channel, hostA);
  await a.register(aDownload(LENGTHS));
  await a.next();
  await a.report({ $case: "downloadPeerBackToSourceStartedRequest", value: {} });
  await a.sourcePiece(0);
  using b = new Dialogue(channel, hostB);
  await b.register(aDownload(LENGTHS));
  const candidateParents = parentsOf(await b.next());
  await b.report({ $case: "reschedulePeerRequest", value: { candidateParents, description: "no" } });
  assert.deepEqual(
    parentsOf(await b.next()).map(({ id }) => id),
    [a.peerId],
  );
});

test("one of ours waits without asking again and is pushed what appears", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  const hosts = [aHost("a"), aHost("b"), aHost("c")] as const;
  using _a = await attachHost(channel, hosts[0]);
  using _b = await attachHost(channel, hosts[1]);
  using attachment = await attachHost(channel, hosts[2]);
  using a = new Dialogue(channel, hosts[0]);
  using b = new Dialogue(channel, hosts[1]);
  await a.register();
  assert.equal((await a.next())?.$case, "needBackToSourceResponse");
  await b.register();
  assert.deepEqual(neighboursOf(await b.next()), [a.peerId], "who reads the source is offered before it has anything");
  const stored = { taskId: TASK_ID, peerId: `${hosts[2].id}-old`, url: "", digest: "", tag: "", application: "" };
  const lengths = {
    pieceLength: 4 * MIB,
    contentLength: 8 * MIB,
    pieceCount: 2,
    finishedPieces: Uint8Array.of(3),
    finished: true,
    sourceRanges: true,
  };
  await attachment.send({ request: { $case: "stored", value: { ...stored, ...lengths } } });
  const pushed = await b.next();
  assert.deepEqual(neighboursOf(pushed).toSorted(), [a.peerId, `${hosts[2].id}-old`].toSorted());
  assert.equal(pushed?.$case === "normalTaskResponse" && pushed.value.contentLength, 8 * MIB);
  await attachment.send({ request: { $case: "heartbeat", value: { sequence: 7, uploadsInFlight: 0, uploadSlots: 4, progress: [] } } });
  assert.deepEqual(await attachment.next(), { $case: "ack", value: { sequence: 7 } });
});

test("downloads of ours talk inside their host's stream, each by itself", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  const hosts = [aHost("a"), aHost("b")] as const;
  const attachmentA = await attachHost(channel, hosts[0]);
  using attachmentB = await attachHost(channel, hosts[1]);
  const a = new Talker(attachmentA, hosts[0]);
  const b = new Talker(attachmentB, hosts[1]);
  await a.register(1);
  assert.equal((await a.next())?.response?.response?.$case, "needBackToSourceResponse");
  await a.say(1, { $case: "downloadPeerBackToSourceStartedRequest", value: {} });
  await b.register(1);
  const introduced = await b.next();
  assert.deepEqual([introduced?.id, neighboursOf(introduced?.response?.response)], [1, [a.peerId(1)]]);
  await b.say(2, { $case: "downloadPeerStartedRequest", value: {} });
  assert.deepEqual([(await b.next())?.errorCode, "nothing registered"], ["input.invalid", "nothing registered"]);
  await b.say(1, { $case: "downloadPeerFinishedRequest", value: {} });
  const over = await b.next();
  assert.deepEqual([over?.id, over?.response, over?.errorCode], [1, undefined, ""]);
  await b.register(3);
  await b.next();
  attachmentA[Symbol.dispose]();
  assert.equal((await b.next())?.response?.response?.$case, "needBackToSourceResponse", "the downloads of a lost host are over");
});

test("what a host says in one message is taken in its order, and answered in one to a host that takes that", async () => {
  await using scheduler = await serveScheduler();
  const hosts = [aHost("a"), aHost("b")] as const;
  using batched = await attachHost(scheduler.channel, hosts[0], [], true);
  using single = await attachHost(scheduler.channel, hosts[1]);
  for (const [attachment, host] of [
    [batched, hosts[0]],
    [single, hosts[1]],
  ] as const) {
    const talker = new Talker(attachment, host);
    const nothing = [1, 2, 3].map((id) => talker.talk(id, { $case: "downloadPeerStartedRequest", value: {} }));
    await attachment.send({ request: { $case: "batch", value: { requests: nothing } } });
  }
  const answers = await batched.next();
  const ids = answers?.$case === "batch" ? answers.value.answers.map(({ id, errorCode }) => `${id} ${errorCode}`) : [];
  assert.deepEqual(ids, ["1 input.invalid", "2 input.invalid", "3 input.invalid"]);
  const one = await single.next();
  assert.deepEqual([one?.$case, one?.$case === "answer" && one.value.id], ["answer", 1]);
});

test("a batch inside of a batch, and one of requests that say nothing, end the stream", async () => {
  await using scheduler = await serveScheduler();
  const empty = { request: undefined };
  const nested = { request: { $case: "batch", value: { requests: [] } } } as const;
  for (const request of [empty, nested]) {
    using attachment = await attachHost(scheduler.channel, aHost("a"));
    await attachment.send({ request: { $case: "batch", value: { requests: [request] } } });
    await assert.rejects(attachment.next(), (error) => error instanceof AnaxError && error.code === "input.invalid");
  }
});

test("a host may not speak for another, and a second conversation takes the place of the first", async () => {
  await using scheduler = await serveScheduler();
  const hosts = [aHost("a"), aHost("b")] as const;
  using attachment = await attachHost(scheduler.channel, hosts[0]);
  using _other = await attachHost(scheduler.channel, hosts[1]);
  const stranger = new Talker(attachment, hosts[1]);
  await stranger.register(1);
  assert.equal((await stranger.next())?.errorCode, "input.invalid");
  const a = new Talker(attachment, hosts[0]);
  await a.register(2, "same");
  assert.equal((await a.next())?.response?.response?.$case, "needBackToSourceResponse");
  await a.register(3, "same");
  const replaced = await a.next();
  assert.deepEqual([replaced?.id, replaced?.errorCode], [2, "rpc.aborted"]);
  const again = await a.next();
  assert.deepEqual([again?.id, again?.response?.response?.$case], [3, "needBackToSourceResponse"]);
});

test("when a host's stream breaks, its children are pushed to the source or to others at once", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  const [hostA, hostB] = [aHost("a"), aHost("b")];
  const attachmentA = await attachHost(channel, hostA);
  using _b = await attachHost(channel, hostB);
  using a = new Dialogue(channel, hostA);
  await a.register();
  await a.next();
  using b = new Dialogue(channel, hostB);
  await b.register();
  await b.next();
  attachmentA[Symbol.dispose]();
  assert.equal((await b.next())?.$case, "needBackToSourceResponse");
});

test("a seed is told to fetch in the name of the first that asks, credentials included", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  const seedOrders: { needBackToSource: boolean; schedulingPolicy: number; requestHeader: Readonly<Record<string, string>> }[] = [];
  const seedHost = { id: "" };
  await using seed = await serve([
    serviceOf(DfdaemonUploadService, {
      async *downloadTask({ download }) {
        seedOrders.push(download!);
        using dialogue = new Dialogue(channel, seedHost as ReturnType<typeof aHost>);
        await dialogue.register(download);
        assert.equal((await dialogue.next())?.$case, "needBackToSourceResponse");
        await dialogue.report({ $case: "downloadPeerBackToSourceStartedRequest", value: {} });
        await dialogue.sourcePiece(0);
        yield { hostId: "", taskId: TASK_ID, peerId: "" };
        await dialogue.report({ $case: "downloadPeerBackToSourceFinishedRequest", value: {} });
        await dialogue.next();
      },
    }),
  ]);
  Object.assign(seedHost, aHost("s-seed", { type: 1, port: seed.address.port }));
  await announce(channel, seedHost as ReturnType<typeof aHost>);
  await announce(channel, aHost("a"));
  using a = new Dialogue(channel, aHost("a"));
  await a.register(aDownload({ requestHeader: { Authorization: "Bearer x" } }));
  assert.deepEqual(
    parentsOf(await a.next()).map(({ id }) => id),
    ["127.0.0.1-s-seed-peer"],
  );
  assert.deepEqual([seedOrders[0]?.needBackToSource, seedOrders[0]?.requestHeader], [true, { Authorization: "Bearer x" }]);
  assert.equal(seedOrders[0]?.schedulingPolicy, 1, "content of one piece is announced too");
});

test("when the source refuses the seed, who waits is told the same", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  await using seed = await serve([
    serviceOf(DfdaemonUploadService, {
      // eslint-disable-next-line require-yield -- it refuses before anything comes
      async *downloadTask() {
        throw new AnaxError("source.not-found", { status: 404 });
      },
    }),
  ]);
  await announce(channel, aHost("s-seed", { type: 1, port: seed.address.port }));
  await announce(channel, aHost("a"));
  using a = new Dialogue(channel, aHost("a"));
  await a.register();
  await assert.rejects(
    a.next(),
    (error) => error instanceof AnaxError && error.code === "source.not-found" && error.details["status"] === 404,
  );
});

test("a seed that cannot be reached delays nobody", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  const gone = await serve([]);
  await gone[Symbol.asyncDispose]();
  await announce(channel, aHost("s-seed", { type: 1, port: gone.address.port }));
  await announce(channel, aHost("a"));
  using a = new Dialogue(channel, aHost("a"));
  await a.register();
  assert.equal((await a.next())?.$case, "needBackToSourceResponse");
});

test("a scheduler that restarts learns from the hosts what they have", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  const [hostA, hostB] = [aHost("a"), aHost("b")];
  const stored = { taskId: TASK_ID, peerId: `${hostA.id}-x`, url: "http://origin.test/file", digest: "", tag: "", application: "" };
  const lengths = { pieceLength: 4 * MIB, contentLength: 8 * MIB, pieceCount: 2, finishedPieces: new Uint8Array(0), finished: true };
  using _a = await attachHost(channel, hostA, [{ ...stored, ...lengths }]);
  await announce(channel, hostB);
  using b = new Dialogue(channel, hostB);
  await b.register();
  assert.deepEqual(
    parentsOf(await b.next()).map(({ id, finishedPieces }) => [id, [...(finishedPieces ?? [])]]),
    [[`${hostA.id}-x`, [3]]],
  );
});

test("an empty file is answered as empty, a report of a local hit as such", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  await announce(channel, aHost("a"));
  using a = new Dialogue(channel, aHost("a"));
  await a.register(aDownload({ actualContentLength: 0, actualPieceLength: 4 * MIB }));
  assert.equal((await a.next())?.$case, "emptyTaskResponse");
  await a.report({ $case: "downloadPeerStartedRequest", value: {} });
  await a.report({ $case: "downloadPeerFinishedRequest", value: {} });
  assert.equal(await a.next(), undefined);
  using again = new Dialogue(channel, aHost("a"), "again");
  await again.register(aDownload({ metadataOnly: true, ...LENGTHS }));
  assert.equal((await again.next())?.$case, "metadataOnlyResponse");
  await again.report({ $case: "downloadPeerStartedRequest", value: {} });
  await again.report({ $case: "downloadPeerFinishedRequest", value: {} });
  assert.equal(await again.next(), undefined);
});

test("a registration that outruns its host's announcement waits for it", async () => {
  await using scheduler = await serveScheduler({ hostGraceMs: "5s" });
  const { channel } = scheduler;
  using a = new Dialogue(channel, aHost("a"));
  await a.register();
  await announce(channel, aHost("a"));
  assert.equal((await a.next())?.$case, "needBackToSourceResponse");
});

test("explain tells what a peer was told, and what spoke against the others", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  await announce(channel, aHost("a"));
  await announce(channel, aHost("b", { disableShared: true }));
  using b = new Dialogue(channel, aHost("b"));
  await b.register(aDownload(LENGTHS));
  await b.next();
  using a = new Dialogue(channel, aHost("a"));
  await a.register(aDownload(LENGTHS));
  const answer = await a.next();
  assert.deepEqual(answer?.$case === "needBackToSourceResponse" && answer.value.rejections, [{ rule: "not-sharing", count: 1 }]);
  const story = await channel.unary(OwnService.explain, { taskId: TASK_ID, peer: "" }, { timeoutMs });
  assert.deepEqual(
    story.peers.map(({ lastDecision }) => lastDecision),
    ["source: first", "source: reader-lost"],
  );
  assert.ok(story.events.some(({ event, peerId }) => event === "source-granted" && peerId === a.peerId));
  const waits = story.decisions.filter(({ peerId, kind }) => peerId === a.peerId && kind === "wait");
  assert.deepEqual(
    waits.map(({ candidates, rejected }) => [candidates, rejected.map(({ rule, hostname }) => `${hostname} ${rule}`)]),
    [[1, ["b not-sharing"]]],
  );
  const ofB = await channel.unary(OwnService.explain, { taskId: TASK_ID, peer: b.peerId.slice(0, -2) }, { timeoutMs });
  assert.deepEqual(
    [...ofB.peers, ...ofB.decisions].filter(({ peerId }) => peerId !== b.peerId),
    [],
  );
  assert.deepEqual([ofB.peers.length, ofB.task?.peerCount], [1, 2]);
  const status = await channel.unary(OwnService.status, {}, { timeoutMs });
  assert.deepEqual([status.hosts, status.tasks, status.peers, status.schedulerId], [2, 1, 2, "scheduler-1"]);
});

test("hosts are listed, and deleted with all they have", async () => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  await announce(channel, aHost("a"));
  await announce(channel, aHost("s-seed", { type: 1 }));
  const all = await channel.unary(SchedulerService.listHosts, {}, { timeoutMs });
  const seeds = await channel.unary(SchedulerService.listHosts, { type: 1 }, { timeoutMs });
  assert.deepEqual([all.hosts.length, seeds.hosts.map(({ hostname }) => hostname)], [2, ["s-seed"]]);
  await channel.unary(SchedulerService.deleteHost, { hostId: aHost("a").id }, { timeoutMs });
  assert.equal((await channel.unary(SchedulerService.listHosts, {}, { timeoutMs })).hosts.length, 1);
});

const BAD_REGISTRATIONS = [
  ["an unknown host", "host.unknown", {}, {}],
  ["no URL", "input.invalid", { url: "not a url" }, {}],
  ["a priority that does not exist", "input.invalid", { priority: 9 as never }, {}],
  ["a digest that is none", "input.invalid", { digest: "sha256:zz" }, {}],
  ["more pieces than any task has", "input.invalid", { actualContentLength: 2 ** 50, actualPieceLength: 1 }, {}],
  ["a task id that is none", "input.invalid", {}, { taskId: "xyz" }],
  ["headers without end", "input.invalid", { requestHeader: { long: "x".repeat(300_000) } }, {}],
] as const;

test("a registration that makes no sense gets a reason", async (t) => {
  await using scheduler = await serveScheduler();
  const { channel } = scheduler;
  await announce(channel, aHost("known"));
  for (const [what, code, changes, { taskId = TASK_ID }] of BAD_REGISTRATIONS as readonly (readonly [
    string,
    string,
    object,
    { taskId?: string },
  ])[]) {
    await t.test(what, async () => {
      using peer = new Dialogue(channel, aHost(code === "host.unknown" ? "unknown" : "known"));
      await peer.report({ $case: "registerPeerRequest", value: { download: aDownload(changes) } }, taskId);
      await assert.rejects(peer.next(), (error) => error instanceof AnaxError && error.code === code);
    });
  }
  await t.test("a report before the registration", async () => {
    using peer = new Dialogue(channel, aHost("known"));
    await peer.sourcePiece(0);
    await assert.rejects(peer.next(), (error) => error instanceof AnaxError && error.code === "input.invalid");
  });
  await t.test("a piece that no task has", async () => {
    using peer = new Dialogue(channel, aHost("known"));
    await peer.register();
    await peer.next();
    await peer.sourcePiece(2 ** 31);
    await assert.rejects(peer.next(), (error) => error instanceof AnaxError && error.code === "input.invalid");
  });
});

const BAD_HOSTS = [
  ["no id", { id: "" }],
  ["an ip that is none", { ip: "example.org" }],
  ["no port", { port: 0 }],
  ["a piece port out of range", { downloadPort: 70_000 }],
] as const;

test("a host that makes no sense gets a reason", async (t) => {
  await using scheduler = await serveScheduler();
  for (const [what, changes] of BAD_HOSTS) {
    await t.test(what, async () => {
      await assert.rejects(
        announce(scheduler.channel, aHost("a", changes)),
        (error) => error instanceof AnaxError && error.code === "input.invalid",
      );
    });
  }
});

test("what is not offered says so", async () => {
  await using scheduler = await serveScheduler();
  const request = PreheatImageRequest.fromPartial({ url: "http://origin.test/v2/x/manifests/1" });
  const call = scheduler.channel.unary(SchedulerService.preheatImage, request, { timeoutMs });
  await assert.rejects(call, (error) => error instanceof AnaxError && error.code === "rpc.unimplemented");
});
