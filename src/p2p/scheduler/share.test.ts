import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostId } from "../model/ids.ts";
import { Bench, idOf, TASK, told, type Did } from "./step-fixture.ts";

const PIECES = 128;
const layout = { contentLength: PIECES * 1000, pieceLength: 1000, pieceCount: PIECES };

/** `h1` reads everything since the beginning of time, `h2` and so on wait for it. */
function reading(settings: { readonly peers: number; readonly ranges?: boolean } & Record<string, unknown>): Bench {
  const { peers, ranges = true, ...config } = settings;
  const bench = new Bench({ settleMs: "0ms", sourceShareMax: 4, ...config });
  for (let i = 1; i <= peers; i++) bench.join(`h${i}`);
  if (peers > 0) theReader(bench, ranges);
  return bench;
}

function theReader(bench: Bench, ranges = true): void {
  bench.tell({ kind: "backToSourceStarted", peerId: idOf("h1"), description: "" });
  const finishedPieces = new Uint8Array(PIECES / 8);
  const facts = { taskId: TASK, peerId: idOf("h1"), url: "", digest: undefined, tag: undefined, application: undefined };
  bench.tell({
    kind: "stored",
    hostId: "h1" as HostId,
    stored: { ...facts, layout, finishedPieces, finished: false, sourceRanges: ranges },
  });
}

/** As `reading`, with three hosts whose links take that. */
function withEqualLinks(link: { readonly maxRxBandwidth: number; readonly maxTxBandwidth: number }): Bench {
  const bench = reading({ peers: 0 });
  for (const name of ["h1", "h2", "h3"]) bench.join(name, link);
  theReader(bench);
  return bench;
}

/** The host has read so many pieces, and of further ones some bytes. */
function reads(
  bench: Bench,
  host: string,
  source: { readonly from: number; readonly count: number; readonly beside: number; readonly connections: number },
): Did[] {
  const { from, count, beside, connections } = source;
  const finishedPieces = new Uint8Array(PIECES / 8);
  for (let i = from; i < from + count; i++) finishedPieces[i >>> 3]! |= 1 << (i & 7);
  const sourceReading = { bytes: count * layout.pieceLength + beside, elapsedMs: bench.nowMs, connections };
  return bench.beat(host, 0, 4, [{ peerId: idOf(host), layout, finishedPieces, source: sourceReading }]);
}

const has = (bench: Bench, host: string, from: number, count: number): Did[] =>
  reads(bench, host, { from, count, beside: 0, connections: 1 });

const shares = (did: readonly Did[]): string[] =>
  told(did)
    .filter((line) => line.includes("share"))
    .toSorted();

/** The first seconds, in which `h1` reads so many pieces; it says so twice. */
function theBeginning(bench: Bench, pieces: number): string[] {
  const did = bench.pass(800);
  did.push(...has(bench, "h1", 0, pieces >> 2), ...bench.pass(1000));
  did.push(...has(bench, "h1", 0, pieces), ...bench.pass(600));
  return shares(did);
}

/** All parts, in order of the content. */
const partsOf = (bench: Bench): string[] =>
  bench
    .peer("h1")
    .task.spans.toSorted((a, b) => a.first - b.first)
    .map(({ first, end }) => `${first}-${end}`);

test("one that needs long is helped: each has a part of what is left, and every piece is in one", () => {
  const bench = reading({ peers: 4 });
  const shared = theBeginning(bench, 8);
  assert.equal(shared.length, 4);
  assert.equal(shared[0], "h1: share 0-38");
  assert.deepEqual(partsOf(bench), ["0-38", "38-68", "68-98", "98-128"]);
});

test("one that is soon through reads it all by itself", () => {
  const bench = reading({ peers: 4 });
  assert.deepEqual(theBeginning(bench, 40), []);
});

test("parts are as large as the links of their readers, which a slow one is not asked to help", () => {
  const bench = reading({ peers: 0 });
  for (const [name, maxRxBandwidth] of [
    ["h1", 4000],
    ["h2", 1000],
    ["h3", 3000],
  ] as const)
    bench.join(name, { maxRxBandwidth });
  theReader(bench);
  theBeginning(bench, 8);
  bench.pass(2000); // how fast it sends may be told late
  const sizes = Object.fromEntries(bench.peer("h1").task.spans.map(({ reader, first, end }) => [reader!.host.facts.id, end - first]));
  assert.deepEqual(sizes, { h1: 68, h2: 15, h3: 45 });
});

test("who reads and sends on as fast as anybody can receive reads it all; one that sends slowly is helped", () => {
  for (const [maxTxBandwidth, readers] of [
    [6000, 1],
    [2000, 3],
  ] as const) {
    const bench = withEqualLinks({ maxRxBandwidth: 6000, maxTxBandwidth });
    theBeginning(bench, 8);
    bench.pass(2000); // how fast it sends may be told late
    assert.equal(Math.max(1, bench.peer("h1").task.spans.length), readers);
  }
});

test("pieces that are still arriving count for what is here of them", () => {
  for (const [beside, readers] of [
    [3000, 1],
    [500, 3],
  ] as const) {
    const bench = withEqualLinks({ maxRxBandwidth: 4200, maxTxBandwidth: 4200 });
    bench.pass(800);
    has(bench, "h1", 0, 1);
    bench.pass(1000);
    reads(bench, "h1", { from: 0, count: 2, beside, connections: 1 });
    bench.pass(600);
    assert.equal(Math.max(1, bench.peer("h1").task.spans.length), readers, `${beside}`);
  }
});

test("one to whom further connections bring more is helped, since others have connections too, unless it is soon through", () => {
  for (const [pieces, isHelped] of [
    [12, true],
    [30, false],
  ] as const) {
    const bench = withEqualLinks({ maxRxBandwidth: 4000, maxTxBandwidth: 4000 });
    bench.pass(2000);
    reads(bench, "h1", { from: 0, count: pieces, beside: 0, connections: 3 });
    bench.pass(200);
    assert.equal(bench.peer("h1").task.spans.length > 1, isHelped, `${pieces}`);
  }
});

test("one that reads twice as fast as it sends is helped, also where nobody has seen more than it sends", () => {
  const bench = reading({ peers: 0 });
  bench.join("h1", { maxRxBandwidth: 0, maxTxBandwidth: 3000 });
  for (const name of ["h2", "h3"]) bench.join(name, { maxRxBandwidth: 3000, maxTxBandwidth: 3000 });
  theReader(bench);
  theBeginning(bench, 8); // six pieces a second
  assert.equal(shares(bench.pass(2000)).length, 3);
});

test("one whose link is known to be far slower than others' is helped at once", () => {
  for (const [rx, tx, isHelped] of [
    [1000, 5000, true],
    [5000, 1000, true],
    [4000, 4000, false],
    [5000, 0, false], // it never sent anything
  ] as const) {
    const bench = reading({ peers: 0 });
    bench.join("h1", { maxRxBandwidth: rx, maxTxBandwidth: tx });
    for (const name of ["h2", "h3"]) bench.join(name, { maxRxBandwidth: 5000, maxTxBandwidth: 5000 });
    theReader(bench);
    bench.pass(400);
    assert.equal(bench.peer("h1").task.spans.length > 1, isHelped, `${rx} ${tx}`);
  }
});

test("who comes a moment after a slow reader has a part as large as the others'", () => {
  const bench = reading({ peers: 0 });
  bench.join("h1", { maxRxBandwidth: 5000, maxTxBandwidth: 1000 });
  bench.join("h2", { maxRxBandwidth: 5000, maxTxBandwidth: 5000 });
  theReader(bench);
  bench.pass(200);
  for (const name of ["h3", "h4"]) bench.join(name, { maxRxBandwidth: 5000, maxTxBandwidth: 5000 });
  bench.pass(200);
  assert.deepEqual(partsOf(bench), ["0-32", "32-64", "64-96", "96-128"]);
});

test("how long a reader took to get going is not held against it", () => {
  const bench = withEqualLinks({ maxRxBandwidth: 5000, maxTxBandwidth: 5000 });
  const did = bench.pass(600);
  did.push(...has(bench, "h1", 0, 1), ...bench.pass(800));
  did.push(...has(bench, "h1", 0, 3), ...bench.pass(1000)); // more than two seconds are over
  did.push(...has(bench, "h1", 0, 8), ...bench.pass(3000));
  assert.deepEqual(shares(did), []);
});

test("one that begins and then tells nothing more is helped", () => {
  const bench = reading({ peers: 3 });
  assert.equal(shares([...bench.pass(600), ...has(bench, "h1", 0, 1), ...bench.pass(2400)]).length, 0);
  assert.equal(shares(bench.pass(2000)).length, 3);
});

test("nothing is divided where the source knows no ranges, where nobody helps, or where it is not wanted", () => {
  for (const bench of [reading({ peers: 4, ranges: false }), reading({ peers: 1 }), reading({ peers: 4, sourceShareMax: 1 })])
    assert.deepEqual(theBeginning(bench, 8), []);
});

test("no more take part than may", () => {
  const bench = reading({ peers: 8, sourceShareMax: 2 });
  assert.equal(theBeginning(bench, 8).length, 2);
  assert.deepEqual(partsOf(bench), ["0-68", "68-128"]);
});

test("the part of one that is gone is read by another", () => {
  const bench = reading({ peers: 5 });
  theBeginning(bench, 8);
  const task = bench.peer("h1").task;
  const lost = task.spans[2]!.reader!;
  bench.detach(lost.host.facts.id);
  bench.pass(4000);
  assert.ok(task.spans.every(({ reader }) => reader !== undefined && reader !== lost));
  assert.equal(
    task.spans.reduce((sum, { first, end }) => sum + end - first, 0),
    PIECES,
  );
});

test("who is through with its part takes over half of the slowest, and what has been read is nobody's again", () => {
  const bench = reading({ peers: 2, sourceShareMax: 2 });
  theBeginning(bench, 8);
  assert.deepEqual(partsOf(bench), ["0-68", "68-128"]);
  const did = [...bench.pass(5000), ...has(bench, "h2", 68, 60), ...bench.pass(600)];
  assert.match(shares(did).join(), /^h1: share 0-\d\d,h2: share 68-128 \d\d-68$|^h1: share 0-\d\d,h2: share \d\d-68 68-128$/);
  assert.ok(partsOf(bench).includes("68-128"));
});

test("a source that would say the same to everybody is asked by nobody else, though who reads it all could have been helped", () => {
  const bench = reading({ peers: 3 });
  const failed = bench.tell({ kind: "sourcePieceFailed", peerId: idOf("h1"), error: { message: "gone", statusCode: 404 } });
  assert.deepEqual(told(failed), []);
  const ended = bench.tell({ kind: "peerFailed", peerId: idOf("h1"), description: "", readingSource: true });
  assert.deepEqual(told(ended).toSorted(), ["h1: closeStream", "h2: failed source.not-found", "h3: failed source.not-found"]);
});

test("a reader of a part that stands still, while others have the rest, reads the rest as well in the end", () => {
  const bench = reading({ peers: 3, fruitlessMax: 2 });
  theBeginning(bench, 8);
  const parts = bench.peer("h1").task.spans;
  for (const { reader, first, end } of parts) has(bench, reader!.host.facts.id, first, end - first);
  const did: Did[] = [];
  for (let i = 0; i < 3; i++) {
    did.push(...bench.tell({ kind: "rescheduled", peerId: idOf("h2"), parentIds: [], description: "no-progress" }));
    did.push(...bench.pass(10_000));
  }
  assert.deepEqual(
    told(did).filter((line) => line.includes("source")),
    ["h2: source no-parent-reachable"],
  );
});
