import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostId } from "../model/ids.ts";
import { Bench, FOUR_PIECES, idOf, told, TASK, type Did } from "./step-fixture.ts";

test("the first goes to the source, the others get it as parent before it has anything", () => {
  const bench = new Bench();
  assert.deepEqual(told(bench.join("h1")), ["h1: wait", "h1: source first"]);
  assert.deepEqual(told(bench.join("h2")), ["h2: parents h1"]);
  assert.deepEqual(told(bench.join("h3", { foreign: true })), ["h3: parents h1"]);
});

test("a finished holder anywhere beats the source", () => {
  const bench = new Bench();
  bench.host("h1");
  bench.stores("h1", "all");
  assert.deepEqual(told(bench.join("h2", { order: { needBackToSource: true } })), ["h2: parents h1"]);
});

test("right after the start nobody is sent to the source, since who has it may come back", () => {
  const bench = new Bench({ settleMs: "1s" });
  assert.deepEqual(told(bench.join("h2")), ["h2: wait"]);
  bench.host("h1");
  assert.deepEqual(told(bench.stores("h1", "all")), ["h2: parents h1"]);
});

test("when the settling time ends without a holder, the source it is", () => {
  const bench = new Bench({ settleMs: "1s" });
  bench.join("h1");
  assert.deepEqual(told(bench.pass(800)), []);
  assert.deepEqual(told(bench.pass(400)), ["h1: source first"]);
});

test("who loses the last of its neighbours is given others at once", () => {
  const bench = new Bench();
  bench.host("h2");
  bench.stores("h2", "all");
  bench.join("h3");
  bench.host("h1");
  bench.stores("h1", [0]);
  bench.tell({ kind: "pieceFailed", peerId: idOf("h3"), parentId: idOf("h1"), temporary: false, code: "" });
  bench.pass(2600);
  assert.deepEqual(told(bench.detach("h2")), ["h3: source first"]);
  bench.host("h4");
  bench.stores("h4", "all");
  bench.pass(400);
  assert.deepEqual(bench.peer("h3").neighbours, [bench.peer("h4")]);
});

test("three missed heartbeats make a host silent, one brings it back", () => {
  const bench = new Bench();
  bench.host("h1");
  bench.stores("h1", "all");
  bench.pass(2800, ["h1"]);
  assert.equal(bench.cluster.hosts.get("h1" as HostId)?.liveness.kind, "attached");
  bench.pass(400, ["h1"]);
  assert.equal(bench.cluster.hosts.get("h1" as HostId)?.liveness.kind, "silent");
  assert.deepEqual(told(bench.join("h2")), ["h2: wait", "h2: source first"]);
  bench.beat("h1", 0);
  assert.equal(bench.cluster.hosts.get("h1" as HostId)?.liveness.kind, "attached");
  assert.deepEqual(told(bench.join("h3")), ["h3: parents h1 h2"]);
});

test("a heartbeat that tells of progress stands for the reports of the pieces", () => {
  const bench = new Bench({ sourceStallTimeoutMs: "5s" });
  bench.join("h1");
  bench.reads("h1");
  bench.join("h2");
  const peer = bench.peer("h1");
  for (let n = 1; n <= 4; n++) {
    bench.pass(2000);
    bench.beat("h1", 0, 4, [{ peerId: idOf("h1"), layout: FOUR_PIECES, finishedPieces: Uint8Array.of((1 << n) - 1) }]);
    assert.equal(peer.pieces.count, n);
    assert.equal(peer.permit?.stalled, false);
  }
  bench.beat("h2", 0, 4, [{ peerId: idOf("h1"), layout: FOUR_PIECES, finishedPieces: Uint8Array.of(0) }]);
  assert.equal(bench.peer("h2").pieces.count, 0);
});

test("a foreign host is silent after twice its interval", () => {
  const bench = new Bench({ announceIntervalDefaultMs: "10s" });
  bench.host("h1", { foreign: true });
  bench.pass(19_800);
  assert.equal(bench.cluster.hosts.get("h1" as HostId)?.liveness.kind, "announced");
  bench.pass(400);
  assert.equal(bench.cluster.hosts.get("h1" as HostId)?.liveness.kind, "silent");
});

const READER_LOST = [
  ["its stream breaks", (bench: Bench) => bench.breaks("h1")],
  ["its host's stream breaks", (bench: Bench) => bench.detach("h1")],
  ["it leaves", (bench: Bench) => bench.tell({ kind: "hostLeft", hostId: "h1" as HostId })],
  ["the source fails it", (bench: Bench) => bench.tell({ kind: "peerFailed", peerId: idOf("h1"), description: "", readingSource: true })],
  ["its task is deleted", (bench: Bench) => bench.tell({ kind: "dropped", hostId: "h1" as HostId, taskId: TASK, peerId: undefined })],
] as const;

for (const [what, lose] of READER_LOST) {
  test(`another reads the source at once when ${what}`, () => {
    const bench = new Bench();
    bench.join("h1");
    bench.reads("h1");
    bench.join("h2");
    assert.ok(told(lose(bench)).includes("h2: source reader-lost"));
  });
}

test("the replacement is who has most already, and it fetches from the others what they have", () => {
  const bench = new Bench();
  bench.join("h1");
  bench.reads("h1", [0, 1, 2]);
  for (const name of ["h2", "h3"]) bench.join(name);
  bench.tell({ kind: "pieceFinished", peerId: idOf("h2"), pieceIndex: 0, parentId: idOf("h1") });
  for (const pieceIndex of [1, 2]) bench.tell({ kind: "pieceFinished", peerId: idOf("h3"), pieceIndex, parentId: idOf("h1") });
  const did = [...told(bench.tell({ kind: "hostLeft", hostId: "h1" as HostId })), ...told(bench.pass(600))];
  assert.ok(did.includes("h3: source reader-lost"), did.join());
  assert.deepEqual(bench.peer("h3").neighbours, [bench.peer("h2")]);
});

test("a crowd that leaves at once costs the same for each, however large it is, and who stays gets a reader soon", () => {
  const bench = new Bench();
  const names = Array.from({ length: 400 }, (_, n) => `h${n + 1}`);
  for (const name of names) bench.join(name);
  bench.reads("h1", [0]);
  bench.pass(1000);
  const did: Did[] = [];
  for (const name of names.slice(0, -2)) did.push(...bench.breaks(name), ...bench.detach(name));
  const answers = told(did);
  // The first loss is made good at once; those that follow at the same moment with the next tick.
  assert.deepEqual(
    answers.filter((one) => one.includes("source")),
    ["h2: source reader-lost"],
  );
  assert.ok(answers.length < 100, `${answers.length} answers`);
  assert.deepEqual(
    told(bench.pass(200)).filter((one) => one.includes("source")),
    ["h399: source reader-lost"],
  );
});

test("a reader without progress is joined by a second one, and not by a third", () => {
  const bench = new Bench({ sourceStallTimeoutMs: "5s" });
  bench.join("h1");
  bench.reads("h1");
  bench.join("h2");
  bench.join("h3");
  assert.deepEqual(
    told(bench.pass(5400)).filter((line) => line.includes("source")),
    ["h2: source reader-lost"],
  );
});

test("all who wait are told what the source said for good, and none of them asks it again", () => {
  const bench = new Bench();
  bench.join("h1");
  bench.reads("h1");
  bench.join("h2");
  bench.join("h3");
  bench.tell({ kind: "sourcePieceFailed", peerId: idOf("h1"), error: { message: "gone", statusCode: 404 } });
  const did = told(bench.tell({ kind: "peerFailed", peerId: idOf("h1"), description: "", readingSource: true }));
  assert.deepEqual(did, ["h1: closeStream", "h2: failed source.not-found", "h3: failed source.not-found"]);
});

test("what one may not read another may, with credentials of its own", () => {
  const bench = new Bench();
  bench.join("h1", { order: { requestHeader: { Authorization: "Bearer old" } } });
  bench.reads("h1");
  bench.join("h2", { order: { requestHeader: { Authorization: "Bearer old" } } });
  bench.join("h3", { order: { requestHeader: { authorization: "Bearer new" } } });
  bench.tell({ kind: "sourcePieceFailed", peerId: idOf("h1"), error: { message: "no", statusCode: 401 } });
  const did = told(bench.tell({ kind: "peerFailed", peerId: idOf("h1"), description: "", readingSource: true }));
  assert.deepEqual(did, ["h1: closeStream", "h2: failed source.unauthorized", "h3: source reader-lost"]);
});

test("a source that fails one reader after the other is given up", () => {
  const bench = new Bench({ sourceFailuresMax: 2 });
  for (const name of ["h1", "h2", "h3", "h4"]) bench.join(name);
  const did: string[] = [];
  for (const name of ["h1", "h2"]) {
    bench.reads(name);
    bench.tell({ kind: "sourcePieceFailed", peerId: idOf(name), error: { message: "busy", statusCode: 503 } });
    did.push(...told(bench.tell({ kind: "peerFailed", peerId: idOf(name), description: "", readingSource: true })));
  }
  assert.deepEqual(
    did.filter((line) => !line.includes("wait") && !line.includes("parents")),
    ["h1: closeStream", "h2: source reader-lost", "h2: closeStream", "h3: failed source.bad-status", "h4: failed source.bad-status"],
  );
});

test("a seed is ordered to fetch, and who asked waits for it", () => {
  const bench = new Bench();
  bench.host("s1", { seed: true });
  assert.deepEqual(told(bench.join("h1")), ["h1: wait", "seed s1"]);
  assert.deepEqual(told(bench.join("h2")), ["h2: parents h1"]);
  assert.deepEqual(told(bench.register("s1", { order: { needBackToSource: true } })), [
    "s1: parents h1 h2",
    "s1: source asked-for",
    "h1: parents h2 s1",
  ]);
});

test("a seed that does not come is replaced by another, and then by the one that waits", () => {
  const bench = new Bench();
  bench.host("s1", { seed: true });
  bench.host("s2", { seed: true });
  const first = told(bench.join("h1"))[1];
  const did = told(bench.pass(3200));
  assert.deepEqual(new Set([first, ...did]), new Set(["seed s1", "seed s2"]));
  assert.deepEqual(told(bench.pass(3200)), ["h1: source first"]);
});

test("a seed that refuses an order is passed over at once, and gets none for a while", () => {
  const bench = new Bench();
  bench.host("s1", { seed: true });
  bench.join("h1");
  const failure = { reason: "disk full", source: undefined };
  assert.deepEqual(told(bench.tell({ kind: "seedTriggerEnded", taskId: TASK, hostId: "s1" as HostId, failure })), ["h1: source first"]);
});

test("a seed whose disk is full gets no new task, and one whose disk is nearly full only where there is no other", () => {
  for (const [first, second, chosen] of [
    [96, 90, "seed s2"],
    [90, 80, "seed s2"],
    [80, 90, "seed s1"],
    [97, 95, "h1: source first"],
    [90, 96, "seed s1"],
  ] as const) {
    const bench = new Bench();
    bench.host("s1", { seed: true, diskUsedPercent: first });
    bench.host("s2", { seed: true, diskUsedPercent: second });
    assert.equal(told(bench.join("h1"))[1], chosen, `${first} ${second}`);
  }
});

test("that a seed is passed over is said once, however long somebody waits", () => {
  const bench = new Bench();
  bench.host("s1", { seed: true, diskUsedPercent: 97 });
  bench.join("h1", { order: { disableBackToSource: true } });
  bench.pass(4000);
  const { notes } = bench.peer("h1").task;
  assert.deepEqual(
    notes.filter(({ event }) => event === "seed-passed-over").map(({ fields }) => fields),
    [{ hostId: "s1", because: "disk-full", usedPercent: 97 }],
  );
});

test("of those that wait one whose disk is not full reads the source, and where all are full one that is", () => {
  for (const [first, second, reader] of [
    [96, 50, "h2"],
    [96, 99, "h1"],
  ] as const) {
    const bench = new Bench({ settleMs: "1s" });
    bench.join("h1", { diskUsedPercent: first });
    bench.join("h2", { diskUsedPercent: second });
    assert.ok(told(bench.pass(1200)).includes(`${reader}: source first`), `${first} ${second}`);
  }
});

const PRIORITIES = [
  [0, ["h1: wait", "seed s1"]],
  [1, ["h1: wait", "h1: failed download.forbidden"]],
  [2, ["h1: wait", "h1: failed task.not-found"]],
  [3, ["h1: wait", "h1: source first"]],
  [6, ["h1: wait", "seed s1"]],
] as const;

for (const [priority, expected] of PRIORITIES) {
  test(`priority ${priority} of a task that nobody has: ${expected[1]}`, () => {
    const bench = new Bench();
    bench.host("s1", { seed: true });
    assert.deepEqual(told(bench.join("h1", { order: { priority } })), expected);
  });
}

test("a download that may not read the source is told after a while that nobody has the content", () => {
  const bench = new Bench();
  bench.join("h1", { order: { disableBackToSource: true } });
  assert.deepEqual(told(bench.pass(2400)), []);
  assert.deepEqual(told(bench.pass(400)), ["h1: failed download.no-source"]);
});

test("in a small cluster a block gives way before the source is read, and a busy parent after that", () => {
  const bench = new Bench();
  bench.host("h1");
  bench.stores("h1", "all");
  bench.join("h2", { foreign: true });
  assert.deepEqual(told(bench.tell({ kind: "rescheduled", peerId: idOf("h2"), parentIds: [idOf("h1")], description: "" })), ["h2: wait"]);
  assert.deepEqual(told(bench.pass(1200)), ["h2: parents h1"]);
  bench.beat("h1", 4, 4);
  assert.deepEqual(told(bench.join("h3")), ["h3: parents h1"]);
});

test("who gets nothing from parents that have something may read the source in the end", () => {
  const bench = new Bench({ fruitlessMax: 2 });
  bench.host("h1");
  bench.stores("h1", "all");
  bench.join("h2");
  const giveUp = () => bench.tell({ kind: "rescheduled", peerId: idOf("h2"), parentIds: [idOf("h1")], description: "" });
  giveUp();
  bench.pass(5000);
  assert.deepEqual(told(giveUp()), ["h2: source no-parent-reachable"]);
});

test("reports of parents that have nothing yet do not open the way to the source", () => {
  const bench = new Bench({ fruitlessMax: 1 });
  bench.join("h1");
  bench.reads("h1");
  bench.join("h2");
  bench.tell({ kind: "rescheduled", peerId: idOf("h2"), parentIds: [idOf("h1")], description: "" });
  assert.deepEqual(
    told(bench.pass(5000)).filter((line) => line.includes("source")),
    [],
  );
});

test("who stands still although others have what it lacks may read the source in the end, and not while nobody has it", () => {
  for (const [pieces, sources] of [
    [[0, 1], 1],
    [[], 0],
  ] as const) {
    const bench = new Bench({ fruitlessMax: 2 });
    bench.join("h1", { layout: FOUR_PIECES });
    bench.reads("h1", pieces);
    bench.join("h2");
    const did: Did[] = [];
    for (let i = 0; i < 2; i++) {
      did.push(...bench.pass(10_000));
      did.push(...bench.tell({ kind: "rescheduled", peerId: idOf("h2"), parentIds: [], description: "no-progress" }));
    }
    assert.equal(told(did).filter((line) => line === "h2: source no-parent-reachable").length, sources);
  }
});

test("what a foreign peer has is pushed to ours, and nothing to the foreign", () => {
  const bench = new Bench();
  bench.join("h1");
  bench.reads("h1", [0]);
  bench.join("h2");
  bench.join("f1", { foreign: true });
  bench.join("f2", { foreign: true });
  bench.pass(600);
  bench.tell({ kind: "pieceFinished", peerId: idOf("f1"), pieceIndex: 0, parentId: idOf("h1") });
  assert.deepEqual(told(bench.pass(600)), ["h2: pushed f1 h1"]);
});

test("a host that comes back has what its inventory says and nothing else", () => {
  const bench = new Bench();
  bench.host("h1");
  bench.stores("h1", "all");
  bench.detach("h1");
  bench.host("h1");
  assert.deepEqual(told(bench.join("h2")), ["h2: wait", "h2: source first"]);
});

test("a second stream of the same host takes the first one's place, whose end then means nothing", () => {
  const bench = new Bench();
  bench.host("h1");
  const old = bench.cluster.hosts.get("h1" as HostId)!.sessionId!;
  assert.deepEqual(told(bench.host("h1")), ["h1: closeAttachment"]);
  bench.tell({ kind: "hostDetached", hostId: "h1" as HostId, sessionId: old });
  assert.equal(bench.cluster.hosts.get("h1" as HostId)?.liveness.kind, "attached");
});

test("one that fails with pieces on disk is a parent still, if it is ours", () => {
  const bench = new Bench();
  for (const [name, foreign] of [
    ["h1", false],
    ["f1", true],
  ] as const) {
    bench.join(name, { foreign, layout: FOUR_PIECES });
    bench.reads(name, [0]);
    bench.tell({ kind: "peerFailed", peerId: idOf(name), description: "cancelled", readingSource: false });
  }
  assert.deepEqual([bench.peer("h1").state, bench.peer("f1").state], ["partial", "failed"]);
});

test("what is full refuses, and forgets before that what nobody needs", () => {
  const bench = new Bench({ hostsMax: 2, peersMax: 1 });
  bench.join("h1", { foreign: true });
  bench.host("h2");
  assert.throws(() => bench.host("h3"), /limit/);
  assert.throws(() => bench.register("h2"), /limit/);
  bench.tell({ kind: "peerFailed", peerId: idOf("h1"), description: "", readingSource: false });
  bench.register("h2");
  bench.detach("h2");
  bench.host("h3");
  assert.deepEqual([...bench.cluster.hosts.keys()], ["h1", "h3"]);
});

test("what is over is forgotten after a while", () => {
  const bench = new Bench({ gc: { hostTTL: "20s" }, peerForgetMs: "20s", taskForgetMs: "20s" });
  bench.join("h1");
  bench.tell({ kind: "peerFailed", peerId: idOf("h1"), description: "", readingSource: false });
  bench.detach("h1");
  bench.pass(60_000);
  const { hosts, peers, tasks, activeTasks } = bench.cluster;
  assert.deepEqual([hosts.size, peers.size, tasks.size, activeTasks.size], [0, 0, 0, 0]);
});
