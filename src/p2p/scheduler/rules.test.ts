import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseParents, hasProspect } from "./choose.ts";
import { rejectionOf, REJECTIONS, SOURCE_REJECTIONS, type Rejection, type SourceRejection } from "./rules.ts";
import { Bench, FOUR_PIECES, idOf } from "./step-fixture.ts";

/** Of each rule one story in which it, and no other, speaks against parent `h1` for child `h2`. */
const STORIES: Readonly<Record<Exclude<Rejection, SourceRejection | "outranked">, (bench: Bench) => void>> = {
  left: (bench) => {
    bench.host("h1");
    bench.cluster.peerOf(idOf("h1"), bench.cluster.hosts.get("h1" as never)!, bench.cluster.taskOf("1".repeat(64) as never, 0), 0);
  },
  failed: (bench) => {
    bench.join("h1", { foreign: true });
    bench.tell({ kind: "peerFailed", peerId: idOf("h1"), description: "", readingSource: false });
  },
  "host-silent": (bench) => {
    bench.host("h1");
    bench.stores("h1", "all");
    bench.detach("h1");
  },
  "not-sharing": (bench) => {
    bench.host("h1", { sharing: false });
    bench.stores("h1", "all");
  },
  "same-host": (bench) => {
    bench.join("h2");
    const host = bench.cluster.hosts.get("h2" as never)!;
    bench.cluster.move(bench.cluster.peerOf(idOf("h1"), host, bench.peer("h2").task, 0), "complete", 0);
  },
  empty: (bench) => {
    bench.host("h1");
    bench.stores("h1", []);
  },
  "different-content": (bench) => {
    bench.host("h1");
    bench.stores("h1", "all");
    bench.join("h2", { foreign: true, layout: { ...FOUR_PIECES, contentLength: 5 } });
  },
  "nothing-new": (bench) => {
    bench.join("h2");
    bench.host("h1");
    bench.stores("h1", [0]);
    bench.stores("h2", [0, 1]);
  },
  distrusted: (bench) => {
    bench.host("h1");
    bench.stores("h1", "all");
    for (const name of ["h3", "h4", "h5"]) {
      bench.join(name);
      bench.tell({ kind: "pieceFailed", peerId: idOf(name), parentId: idOf("h1"), temporary: false, code: "" });
    }
  },
  blocked: (bench) => {
    bench.host("h1");
    bench.stores("h1", "all");
    bench.join("h2", { foreign: true });
    bench.tell({ kind: "pieceFailed", peerId: idOf("h2"), parentId: idOf("h1"), temporary: true, code: "" });
  },
  "upload-busy": (bench) => {
    bench.host("h1");
    bench.stores("h1", "all");
    bench.beat("h1", 4, 4);
  },
};

for (const [rule, tell] of Object.entries(STORIES)) {
  test(`a parent is rejected as ${rule}`, () => {
    const bench = new Bench();
    tell(bench);
    if (!bench.cluster.peers.has(idOf("h2"))) bench.join("h2", { foreign: true });
    const moment = bench.moment;
    assert.equal(rejectionOf({ child: bench.peer("h2"), parent: bench.peer("h1"), moment, relaxation: "none" }), rule);
  });
}

test("every rule has its story", () => {
  assert.deepEqual(
    Object.keys(STORIES).toSorted(),
    REJECTIONS.filter((name) => name !== "outranked" && !(SOURCE_REJECTIONS as readonly Rejection[]).includes(name)).toSorted(),
  );
});

test("every peer of the task is either chosen or rejected by name, and the best holder is among those chosen", () => {
  const bench = new Bench({ parentsMax: 3 });
  for (let n = 1; n <= 9; n++) {
    bench.host(`h${n}`, { sharing: n !== 9 });
    bench.stores(`h${n}`, n === 1 || n === 9 ? "all" : [n % 3]);
  }
  bench.join("h0");
  const child = bench.peer("h0");
  const choice = chooseParents(child, bench.moment);
  const rejected = Object.values(choice.rejections).reduce((sum, count) => sum + count, 0);
  assert.equal(choice.parents.length + rejected, 9);
  assert.deepEqual(choice.rejections, { "not-sharing": 1, outranked: 5 });
  assert.ok(choice.parents.some(({ id }) => id === idOf("h1")));
});

test("several parents that together have every piece are as good as one", () => {
  const bench = new Bench();
  bench.host("h1");
  bench.host("h2");
  bench.stores("h1", [0, 1]);
  bench.stores("h2", [2]);
  bench.join("h0");
  const moment = bench.moment;
  assert.equal(hasProspect(bench.peer("h0"), moment), false);
  bench.stores("h2", [3]);
  assert.equal(hasProspect(bench.peer("h0"), bench.moment), true);
});
