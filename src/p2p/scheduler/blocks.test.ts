import assert from "node:assert/strict";
import { test } from "node:test";
import { longestBlockOf, RELAXATIONS } from "./rules.ts";
import { Bench, idOf, told } from "./step-fixture.ts";

/** `h1`, the only one that has the content, and two foreign children of it. */
function withOneHolder(settings: object = {}): Bench {
  const bench = new Bench(settings);
  bench.host("h1");
  bench.stores("h1", "all");
  for (const name of ["f1", "f2"]) bench.join(name, { foreign: true });
  return bench;
}

const lastsMs = (bench: Bench, child: string): readonly (readonly [string, number, number])[] =>
  [...(bench.peer(child).blocked?.get(idOf("h1")) ?? [])].map(({ reason, times, sinceMs, untilMs }) => [reason, times, untilMs - sinceMs]);

test("a block is between one child and one parent", () => {
  const bench = withOneHolder();
  bench.fails("f1", "h1");
  assert.deepEqual([lastsMs(bench, "f1").length, lastsMs(bench, "f2").length], [1, 0]);
});

test("each reason lasts longer each time in a row, by itself, and never beyond the bound", () => {
  const bench = withOneHolder({ blockFirstMs: "1s", blockMaxMs: "5s" });
  bench.fails("f1", "h1", { code: "rpc.unavailable" });
  bench.fails("f1", "h1", { code: "rpc.unavailable" });
  bench.fails("f1", "h1", { code: "piece.digest-mismatch" });
  assert.deepEqual(lastsMs(bench, "f1"), [
    ["unreachable", 2, 2000],
    ["damaged", 1, 1000],
  ]);
  for (let n = 0; n < 30; n++) bench.fails("f1", "h1", { code: "rpc.unavailable" });
  assert.equal(longestBlockOf(bench.peer("f1"), bench.peer("h1"))!.untilMs, bench.nowMs + 5000); // it was blocked
});

test("after a good while the back-off begins anew", () => {
  const bench = withOneHolder({ blockFirstMs: "1s", blockMaxMs: "5s" });
  bench.fails("f1", "h1");
  bench.fails("f1", "h1");
  bench.pass(10_000);
  bench.fails("f1", "h1");
  assert.deepEqual(lastsMs(bench, "f1"), [["piece-failed", 1, 1000]]);
});

test("a piece that arrives makes up for everything but damaged ones", () => {
  const bench = withOneHolder();
  bench.fails("f1", "h1", { code: "rpc.unavailable" });
  bench.fails("f1", "h1", { code: "piece.digest-mismatch" });
  bench.tell({ kind: "pieceFinished", peerId: idOf("f1"), pieceIndex: 0, parentId: idOf("h1") });
  assert.deepEqual(lastsMs(bench, "f1"), [["damaged", 1, 2000]]);
});

test("pieces that arrive damaged from a neighbour are counted although they keep nobody from it", () => {
  const bench = new Bench();
  bench.host("h1");
  bench.stores("h1", "all");
  bench.join("h2");
  for (let n = 0; n < 4; n++) bench.fails("h2", "h1", { temporary: true, code: "piece.digest-mismatch" });
  bench.fails("h2", "h1", { temporary: true, code: "rpc.unavailable" });
  assert.deepEqual(lastsMs(bench, "h2"), [["damaged", 4, 0]]);
  assert.deepEqual(bench.peer("h2").neighbours, [bench.peer("h1")]);
  bench.fails("h2", "h1", { code: "piece.digest-mismatch" });
  assert.deepEqual(lastsMs(bench, "h2"), [["damaged", 5, 60_000]]);
});

for (const foreign of [true, false])
  test(`the last live holder comes back to ${foreign ? "a foreign peer" : "one of ours"}, however often and for whatever it was blocked`, () => {
    const bench = new Bench({ fruitlessMax: 1000 });
    bench.host("h1");
    bench.stores("h1", "all");
    bench.join("c1", { foreign });
    for (let n = 0; n < 20; n++) {
      for (const code of ["rpc.unavailable", "piece.digest-mismatch", "rpc.deadline-exceeded", "vortex.malformed", ""])
        bench.fails("c1", "h1", { code });
      const did = told(bench.tell({ kind: "rescheduled", peerId: idOf("c1"), parentIds: [idOf("h1")], description: "" }));
      did.push(...told(bench.pass(1400)));
      assert.ok(
        did.some((line) => /^c1: (parents|pushed) h1$/.test(line)),
        `${n}: ${did.join()}`,
      );
      assert.ok(!did.some((line) => line.includes("source")), did.join());
    }
  });

test("rules are relaxed in their order: blocks before a busy parent, and the source after both", () => {
  assert.deepEqual(RELAXATIONS, ["none", "blocks", "busy"]);
  const bench = withOneHolder();
  bench.beat("h1", 4, 4); // all its slots are taken
  bench.fails("f1", "h1");
  assert.deepEqual(told(bench.tell({ kind: "rescheduled", peerId: idOf("f1"), parentIds: [], description: "" })), ["f1: wait"]);
  assert.deepEqual(bench.funnel("f1").funnel.relaxation, "none");
  assert.deepEqual(told(bench.pass(1200, ["h1"])), ["f1: parents h1"]); // which says no more that it is free
  assert.equal(bench.funnel("f1").funnel.relaxation, "busy");
  assert.equal(bench.peer("h1").task.sourceReads, 0);
});
