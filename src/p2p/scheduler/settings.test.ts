import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostId } from "../model/ids.ts";
import { SchedulerConfig } from "./config.ts";
import { Bench, FOUR_PIECES, idOf, TASK, told } from "./step-fixture.ts";

// Of the settings that have Dragonfly's names: each governs what it says. `backToSourceCount` is in source-budget.test.ts.

test("names and defaults are Dragonfly's", () => {
  const { retryInterval, retryBackToSourceLimit, retryLimit, backToSourceCount, gc } = SchedulerConfig.parse({});
  assert.deepEqual([retryInterval, retryBackToSourceLimit, retryLimit, backToSourceCount], [500, 4, 5, 200]);
  assert.deepEqual(gc, { peerGCInterval: 10_000, peerTTL: 24 * 3_600_000, pieceDownloadTimeout: 30 * 60_000, hostTTL: 3_600_000 });
});

/** Milliseconds, to a fifth of a second, until a line of this kind comes. */
function whenTold(bench: Bench, expected: string): number {
  const startMs = bench.nowMs;
  while (bench.nowMs - startMs < 120_000) if (told(bench.pass(200)).includes(expected)) return bench.nowMs - startMs;
  return Infinity;
}

for (const [settings, afterMs] of [
  [{}, 2000],
  [{ retryInterval: "2s" }, 8000],
  [{ retryBackToSourceLimit: 1 }, 600],
  [{ retryBackToSourceLimit: 20 }, 10_000],
] as const)
  test(`after ${afterMs} ms a peer that waits in vain may read the source, with ${JSON.stringify(settings)}`, () => {
    const bench = new Bench({ ...settings, blockFirstMs: "1m", blockRelaxedMs: "1m" });
    bench.host("h1");
    bench.stores("h1", "all");
    bench.join("f1", { foreign: true });
    bench.fails("f1", "h1");
    bench.tell({ kind: "rescheduled", peerId: idOf("f1"), parentIds: [], description: "" });
    assert.equal(whenTold(bench, "f1: source no-parent-reachable"), afterMs);
  });

for (const [settings, afterMs] of [
  [{}, 2600],
  [{ retryInterval: "2s" }, 10_000],
  [{ retryLimit: 2 }, 1000],
] as const)
  test(`after ${afterMs} ms a peer that may not read the source is told that nobody has it, with ${JSON.stringify(settings)}`, () => {
    const bench = new Bench(settings);
    bench.join("h1", { order: { disableBackToSource: true } });
    assert.equal(whenTold(bench, "h1: failed download.no-source"), afterMs);
  });

test("a host that is silent for gc.hostTTL is forgotten", () => {
  const bench = new Bench({ gc: { hostTTL: "30s" } });
  bench.host("h1");
  bench.detach("h1");
  bench.pass(29_000);
  assert.ok(bench.cluster.hosts.has("h1" as HostId));
  bench.pass(2000);
  assert.ok(!bench.cluster.hosts.has("h1" as HostId));
});

test("a peer of a foreign host that says nothing for gc.peerTTL is forgotten, one of ours is not", () => {
  const bench = new Bench({ gc: { peerTTL: "1m", peerGCInterval: "1s" } });
  bench.join("f1", { foreign: true, layout: FOUR_PIECES });
  bench.tell({ kind: "peerFinished", peerId: idOf("f1") });
  bench.host("h1");
  bench.stores("h1", "all");
  bench.pass(59_000);
  assert.ok(bench.cluster.peers.has(idOf("f1")));
  bench.pass(3000);
  assert.deepEqual([...bench.cluster.peers.keys()], [idOf("h1")]);
});

test("a foreign reader without a piece for gc.pieceDownloadTimeout counts as failed, and another takes over", () => {
  const bench = new Bench({ gc: { pieceDownloadTimeout: "20s", peerGCInterval: "1s" }, sourceStallTimeoutMs: "1h" });
  bench.join("f1", { foreign: true, layout: FOUR_PIECES });
  bench.tell({ kind: "backToSourceStarted", peerId: idOf("f1"), description: "" });
  bench.join("f2", { foreign: true });
  bench.tell({ kind: "rescheduled", peerId: idOf("f2"), parentIds: [], description: "" });
  bench.pass(19_000);
  assert.equal(bench.peer("f1").state, "back-to-source");
  bench.pass(3000);
  assert.equal(bench.peer("f1").state, "failed");
  bench.tell({ kind: "rescheduled", peerId: idOf("f2"), parentIds: [idOf("f1")], description: "" });
  assert.equal(bench.peer("f2").permit?.kind, "granted");
});

test("what nobody needs is looked for every gc.peerGCInterval", () => {
  for (const [peerGCInterval, isThere] of [
    ["1s", false],
    ["1m", true],
  ] as const) {
    const bench = new Bench({ gc: { peerGCInterval }, peerForgetMs: "5s" });
    bench.pass(200); // the first look
    bench.join("f1", { foreign: true });
    bench.tell({ kind: "peerFailed", peerId: idOf("f1"), description: "", readingSource: false });
    bench.pass(10_000);
    assert.equal(bench.cluster.peers.has(idOf("f1")), isThere);
  }
});

test("decisions are kept up to their bounds", () => {
  const bench = new Bench({ decisionsPerTaskMax: 3, decisionsMax: 4 });
  for (let n = 1; n <= 20; n++) bench.join(`h${n}`);
  assert.deepEqual([bench.cluster.trace.of(TASK).length, bench.cluster.trace.size], [4, 4]);
});
