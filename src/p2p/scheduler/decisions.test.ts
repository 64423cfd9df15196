import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostId, PeerId, TaskId } from "../model/ids.ts";
import { DecisionTrace, type DecisionKind, type TracedDecision } from "./decisions.ts";
import { Bench, FOUR_PIECES, idOf, TASK } from "./step-fixture.ts";

const aDecision = (peer: string, atMs: number, kind: DecisionKind = "wait"): TracedDecision => ({
  decision: { atMs, kind, because: "no-candidates", rejections: {} },
  peerId: peer as PeerId,
  hostname: peer,
  funnel: { candidates: 0, relaxation: "none", rejected: [], considered: [], chosen: [] },
});

test("decisions are kept within a bound for each peer, each task and in all, the newest of them", () => {
  const trace = new DecisionTrace({ perTaskMax: 20, max: 30 });
  for (let n = 0; n < 100; n++) trace.add("a" as TaskId, aDecision("p", n));
  assert.deepEqual(
    trace.of("a" as TaskId).map(({ decision }) => decision.atMs),
    [92, 93, 94, 95, 96, 97, 98, 99],
  );
  for (let n = 0; n < 100; n++) trace.add("a" as TaskId, aDecision(`p${n}`, 100 + n));
  assert.equal(trace.size, 20);
  for (let n = 0; n < 100; n++) trace.add("b" as TaskId, aDecision(`p${n}`, 200 + n, "parents"));
  assert.deepEqual([trace.size, trace.of("a" as TaskId).length, trace.of("b" as TaskId).length], [20, 0, 20]);
  trace.forget("b" as TaskId);
  assert.equal(trace.size, 0);
});

test("offers do not push out what people ask about", () => {
  const trace = new DecisionTrace({ perTaskMax: 4, max: 100 });
  trace.add("a" as TaskId, aDecision("p", 0, "source"));
  for (let n = 1; n < 50; n++) trace.add("a" as TaskId, aDecision(`p${n}`, n, "parents"));
  assert.deepEqual(
    trace.of("a" as TaskId).map(({ decision }) => decision.kind),
    ["source", "parents", "parents", "parents", "parents"],
  );
});

test("a peer's way to the source and its offers are decisions, each with its funnel", () => {
  const bench = new Bench();
  bench.join("h1");
  bench.join("h2");
  assert.deepEqual(bench.decided("h1"), ["wait no-candidates", "source first"]);
  assert.deepEqual(bench.decided("h2"), ["parents asked"]);
  const { funnel, hostname } = bench.funnel("h2");
  assert.deepEqual([hostname, funnel.candidates, funnel.chosen], ["h2", 1, [idOf("h1")]]);
});

test("the classic choice is traced with its scores, and who was turned down with the rule and what is known of it", () => {
  const bench = new Bench({ parentsMax: 1 });
  for (const name of ["h1", "h2", "h3", "h4"]) {
    bench.host(name, { sharing: name !== "h4" });
    bench.stores(name, "all");
  }
  bench.detach("h3");
  bench.join("f1", { foreign: true });
  const { decision, funnel } = bench.funnel("f1");
  assert.deepEqual(decision.rejections, { "host-silent": 1, "not-sharing": 1, outranked: 1 });
  assert.deepEqual(
    funnel.considered.map(({ role, score }) => [role, score! > 0]), // the classic choice has scores
    [
      ["holder", true],
      ["holder", true],
    ],
  );
  assert.equal(funnel.chosen.length, 1);
  assert.deepEqual(funnel.rejected, [
    { peerId: idOf("h3"), hostname: "h3", rule: "host-silent", detail: "stream-ended", sinceMs: 0 },
    { peerId: idOf("h4"), hostname: "h4", rule: "not-sharing" },
  ]);
});

test("a block is explained by its reason, how often and until when, and what was overlooked in the end is said", () => {
  const bench = new Bench();
  bench.host("h1");
  bench.stores("h1", "all");
  bench.join("f1", { foreign: true });
  bench.fails("f1", "h1", { code: "piece.digest-mismatch" });
  bench.tell({ kind: "rescheduled", peerId: idOf("f1"), parentIds: [], description: "" });
  assert.deepEqual(bench.funnel("f1").funnel.rejected, [
    { peerId: idOf("h1"), hostname: "h1", rule: "blocked", detail: "damaged", times: 1, sinceMs: 0, untilMs: 2000 },
  ]);
  bench.pass(1200);
  const { decision, funnel } = bench.funnel("f1");
  assert.deepEqual([decision.kind, funnel.relaxation, funnel.chosen], ["parents", "blocks", [idOf("h1")]]);
});

test("orders to seeds are decisions for the task, and so is that none would do, once", () => {
  const bench = new Bench();
  bench.host("s1", { seed: true, diskUsedPercent: 97 });
  bench.host("s2", { seed: true });
  bench.join("h1");
  assert.deepEqual(bench.decided(), ["seed first"]);
  const failure = { reason: "refused", source: undefined };
  bench.tell({ kind: "seedTriggerEnded", taskId: TASK, hostId: "s2" as HostId, failure });
  bench.pass(2000);
  assert.deepEqual(bench.decided(), ["seed first", "seed-denied no-seed-fit"]);
  const { funnel } = bench.cluster.trace.of(TASK).findLast(({ peerId }) => peerId === undefined)!; // as was just seen
  assert.deepEqual(
    funnel.rejected.map(({ hostname, rule, detail, untilMs }) => [hostname, rule, detail, untilMs]),
    [
      ["s1", "disk-full", "97 %", undefined],
      ["s2", "seed-troubled", undefined, 15_000],
    ],
  );
});

test("replacements that are pushed, refusals and failures are decisions", () => {
  const bench = new Bench();
  bench.join("h1");
  bench.reads("h1", [0]);
  bench.join("h2", { order: { disableBackToSource: true } });
  bench.pass(600);
  bench.host("h3");
  bench.stores("h3", "all");
  bench.pass(600);
  assert.deepEqual(bench.decided("h2"), ["parents asked", "parents pushed"]);
  bench.detach("h1");
  bench.detach("h3");
  bench.pass(6000);
  assert.deepEqual(bench.decided("h2").slice(-2), ["source-denied not-allowed", "failed download.no-source"]);
});

test("content that is empty, and a peer that wants facts only, are answered by decisions as well", () => {
  const bench = new Bench();
  bench.join("f1", { foreign: true, layout: { ...FOUR_PIECES, contentLength: 0, pieceCount: 0 } });
  bench.join("h1", { order: { metadataOnly: true } });
  assert.deepEqual([bench.decided("f1"), bench.decided("h1")], [["empty empty-content"], ["metadata-only has-content"]]);
});

test("a forgotten task leaves no decisions behind", () => {
  const bench = new Bench({ taskForgetMs: "20s", peerForgetMs: "1s" });
  bench.join("h1");
  bench.tell({ kind: "hostLeft", hostId: "h1" as HostId });
  assert.notEqual(bench.cluster.trace.size, 0);
  bench.pass(40_000);
  assert.deepEqual([bench.cluster.tasks.size, bench.cluster.trace.size], [0, 0]);
});
