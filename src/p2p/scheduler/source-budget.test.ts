import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostId, TaskId } from "../model/ids.ts";
import { originOf } from "./source-budget.ts";
import { Bench, idOf, TASK, told, type Did } from "./step-fixture.ts";

const taskOf = (n: number): TaskId => String(n).repeat(64).slice(0, 64) as TaskId;

/** Host `h<n>` asks for a task of its own, of this origin. */
const asks = (bench: Bench, n: number, origin = "origin"): string[] =>
  told(bench.join(`h${n}`, { task: taskOf(n), order: { url: `http://${origin}/${n}` } }));

const leaves = (bench: Bench, n: number): string[] => told(bench.tell({ kind: "hostLeft", hostId: `h${n}` as HostId }));

const sources = (lines: readonly string[]): string[] => lines.filter((line) => line.includes("source"));

test("beyond the budget of the cluster tasks wait, and read in the order in which they came", () => {
  const bench = new Bench({ sourceReadersClusterMax: 2 });
  for (const n of [1, 2, 3, 4, 5]) assert.equal(sources(asks(bench, n)).length, n <= 2 ? 1 : 0);
  assert.deepEqual(bench.decided("h3"), ["wait no-candidates", "source-denied cluster-budget"]);
  const { budget } = bench.cluster;
  const placeOf = (n: number): number => budget.placeOf(bench.peer(`h${n}`).task);
  assert.deepEqual([2, 3, 4, 5].map(placeOf), [0, 1, 2, 3]);
  assert.deepEqual(sources(leaves(bench, 1)), ["h3: source first"]);
  assert.deepEqual(sources(told(bench.pass(2000))), []);
  assert.deepEqual(sources(leaves(bench, 2)), ["h4: source first"]);
  assert.deepEqual([4, 5].map(placeOf), [0, 1]);
});

test("one origin that is at its limit keeps nobody from another", () => {
  const bench = new Bench({ sourceReadersOriginMax: 1 });
  assert.deepEqual(sources(asks(bench, 1, "slow")), ["h1: source first"]);
  assert.deepEqual(sources(asks(bench, 2, "slow")), []);
  assert.deepEqual(sources(asks(bench, 3, "other")), ["h3: source first"]);
  assert.deepEqual(bench.decided("h2").at(-1), "source-denied origin-budget");
  assert.deepEqual(sources(leaves(bench, 1)), ["h2: source first"]);
});

test("who waits in line is neither rescued nor failed, however long it takes, and one of ours is told so again and again", () => {
  const bench = new Bench({ sourceReadersClusterMax: 1 });
  asks(bench, 1);
  bench.reads("h1", [0]);
  asks(bench, 2);
  const did: Did[] = [];
  for (let n = 0; n < 60; n++) {
    did.push(...bench.pass(10_000));
    bench.tell({ kind: "sourcePieceFinished", peerId: idOf("h1"), pieceIndex: n % 4 });
  }
  const toldToWait = told(did).filter((line) => line === "h2: told to wait, cluster-budget").length;
  assert.ok(toldToWait >= 15 && toldToWait <= 20, String(toldToWait));
  assert.deepEqual(
    told(did).filter((line) => !line.includes("told to wait")),
    [],
  );
  assert.deepEqual(sources(told(bench.tell({ kind: "peerFinished", peerId: idOf("h1") }))), ["h2: source first"]);
});

test("a seed gets no order while the budget is spent, and a lost reader's place goes to its own task", () => {
  const bench = new Bench({ sourceReadersClusterMax: 1 });
  asks(bench, 1);
  bench.reads("h1", []);
  told(bench.join("h9", { task: taskOf(1), order: { url: "http://origin/1" } }));
  bench.host("s1", { seed: true });
  assert.deepEqual(asks(bench, 2), ["h2: wait"]);
  const did = leaves(bench, 1);
  assert.deepEqual(
    did.filter((line) => line.startsWith("seed") || line.includes("source")),
    ["seed s1"],
  );
  assert.equal(bench.cluster.trace.lastForTask(taskOf(1))?.kind, "seed");
});

test("what no longer reads no longer counts, whatever ended it", () => {
  const bench = new Bench({ seedTriggerTimeoutMs: "1s" });
  bench.host("s1", { seed: true });
  bench.join("h1");
  assert.equal(bench.cluster.budget.total, 1); // the order to the seed
  bench.register("s1", { order: { needBackToSource: true } });
  bench.reads("s1", [0]);
  assert.equal(bench.cluster.budget.total, 1); // its reading
  bench.detach("s1");
  bench.pass(2000);
  assert.equal(bench.cluster.budget.total, 1); // of who took over
  bench.tell({ kind: "dropped", hostId: "h1" as HostId, taskId: TASK, peerId: undefined });
  bench.pass(2000);
  assert.equal(bench.cluster.budget.total, 0);
});

test("one that has the content after all does not wait in line any more", () => {
  const bench = new Bench({ sourceReadersClusterMax: 1 });
  asks(bench, 1);
  asks(bench, 2);
  bench.host("h7");
  const stored = { taskId: taskOf(2), peerId: idOf("h7"), url: "", digest: undefined, tag: undefined, application: undefined };
  const layout = { contentLength: 4, pieceLength: 1, pieceCount: 4 };
  const facts = { ...stored, layout, finishedPieces: new Uint8Array(), finished: true, sourceRanges: false };
  assert.deepEqual(told(bench.tell({ kind: "stored", hostId: "h7" as HostId, stored: facts })), ["h2: parents h7"]);
  assert.deepEqual([bench.peer("h2").denied, sources(leaves(bench, 1))], [undefined, []]);
});

test("a task has no more readers than backToSourceCount, whatever else would allow it", () => {
  for (const backToSourceCount of [1, 2, 3]) {
    const bench = new Bench({ backToSourceCount });
    // Such read for themselves, each.
    for (const name of ["h1", "h2", "h3"]) bench.join(name, { sharing: false });
    bench.pass(1000);
    assert.equal(bench.peer("h1").task.readers.size, backToSourceCount);
  }
});

test("an origin is a host with its port, or a bucket", () => {
  assert.deepEqual(["https://a.test:8443/x?y", "s3://bucket/key", "file:///tmp/x", "what"].map(originOf), [
    "a.test:8443",
    "bucket",
    "local",
    "local",
  ]);
});
