import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostId } from "../model/ids.ts";
import { distanceOf, placeOf } from "./nearness.ts";
import type { Peer } from "./state.ts";
import { Bench, idOf, TASK, told } from "./step-fixture.ts";

/** One that reads the source, and others that want the content too. */
function aCrowd(bench: Bench, count: number, where: (n: number) => { readonly location?: string } = () => ({})): Peer[] {
  bench.join("reader");
  bench.reads("reader");
  for (let n = 0; n < count; n++) bench.join(`h${n}`, where(n));
  bench.pass(2000);
  return Array.from({ length: count }, (_, n) => bench.peer(`h${n}`));
}

const degreesOf = (peers: readonly Peer[]): number[] => peers.map(({ neighbours }) => neighbours.length);

/** Most steps that lie between one peer and any other. */
function reachOf(from: Peer): { readonly count: number; readonly steps: number } {
  let edge = new Set([from]);
  const seen = new Set(edge);
  for (let steps = 0; ; steps++) {
    edge = new Set([...edge].flatMap((peer) => peer.neighbours).filter((peer) => !seen.has(peer)));
    if (edge.size === 0) return { count: seen.size, steps };
    for (const peer of edge) seen.add(peer);
  }
}

test("each of a thousand that come one after the other has 16 to 32 neighbours, and all are a few steps apart", () => {
  const peers = aCrowd(new Bench(), 1000);
  const degrees = degreesOf(peers);
  assert.ok(Math.min(...degrees) >= 16, `the least is ${Math.min(...degrees)}`);
  assert.ok(Math.max(...degrees) <= 32, `the most is ${Math.max(...degrees)}`);
  const mean = degrees.reduce((sum, degree) => sum + degree, 0) / degrees.length;
  assert.ok(mean <= 26, `${mean} on average`);
  const { count, steps } = reachOf(peers[999]!);
  assert.equal(count, 1001);
  assert.ok(steps <= 5, `${steps} steps`);
});

test("the source's reader has about 48 neighbours, and the others get its pieces from those", () => {
  const bench = new Bench();
  aCrowd(bench, 400);
  const { neighbours } = bench.peer("reader");
  assert.ok(neighbours.length >= 48 && neighbours.length <= 64, String(neighbours.length));
});

test("about two thirds of the neighbours are in the same rack, and at least four are not", () => {
  const peers = aCrowd(new Bench(), 320, (n) => ({ location: `r1|z1|rack${n % 8}` }));
  let near = 0;
  let all = 0;
  for (const peer of peers) {
    const apart = peer.neighbours.map((other) => distanceOf(peer.host.facts.place, other.host.facts.place));
    near += apart.filter((levels) => levels === 0).length;
    all += apart.length;
    assert.ok(apart.filter((levels) => levels > 0).length >= 4);
  }
  assert.ok(near / all > 0.55 && near / all < 0.75, String(near / all));
});

const PLACES = [
  ["a", "r1|z1|k1", "a", "r1|z1|k1", 0],
  ["a", "r1|z1|k1", "a", "r1|z1|k2", 1],
  ["a", "r1|z1|k1", "a", "r1|z2|k1", 2],
  ["a", "r1|z1|k1", "b", "r1|z1|k1", 4],
  ["a", "", "b", "", 1],
  ["", "r1", "", "", 1],
  ["", "", "", "", 0],
] as const;

test("a host is the farther the fewer levels of place it shares", () => {
  for (const [idc, location, otherIdc, otherLocation, expected] of PLACES) {
    const [here, there] = [placeOf(idc, location), placeOf(otherIdc, otherLocation)];
    assert.equal(distanceOf(here, there), expected, `${idc} ${location} and ${otherIdc} ${otherLocation}`);
  }
});

test("who has lost too many neighbours is pushed others, and nobody else is told", () => {
  const bench = new Bench();
  const peers = aCrowd(bench, 60);
  const [loser] = peers as [Peer, ...Peer[]];
  const lost = loser.neighbours.filter(({ host }) => host.facts.id !== "reader").slice(0, loser.neighbours.length - 10);
  for (const { host } of lost) bench.tell({ kind: "hostLeft", hostId: host.facts.id });
  const pushed = told(bench.pass(1000)).filter((line) => line.includes("pushed"));
  assert.ok(pushed.some((line) => line.startsWith(`${loser.host.facts.id}:`)));
  assert.ok(Math.min(...degreesOf(peers.filter(({ state }) => state !== "left"))) >= 16);
  assert.deepEqual(bench.pass(5000), []);
});

test("seeds that have everything are among the first four holders that a peer is given", () => {
  const bench = new Bench();
  for (let n = 0; n < 40; n++) {
    bench.host(`w${n}`, { seed: n < 2 });
    bench.stores(`w${n}`, "all");
  }
  bench.join("h1");
  const names = bench.peer("h1").neighbours.map(({ host }) => host.facts.id);
  assert.ok(names.includes("w0" as HostId) || names.includes("w1" as HostId));
  assert.equal(names.length, 8);
  assert.deepEqual(bench.pass(3000), [], "four that have everything are enough");
});

test("two of which one failed the other are no neighbours until that is over", () => {
  const bench = new Bench();
  aCrowd(bench, 3);
  bench.tell({ kind: "pieceFailed", peerId: idOf("h0"), parentId: idOf("h1"), temporary: false, code: "" });
  assert.ok(!bench.peer("h0").neighbours.includes(bench.peer("h1")));
  bench.pass(1000);
  assert.ok(!bench.peer("h1").neighbours.includes(bench.peer("h0")));
  bench.pass(62_000);
  assert.ok(bench.peer("h1").neighbours.includes(bench.peer("h0")));
});

test("a peer that has finished keeps those neighbours that have not", () => {
  const bench = new Bench();
  aCrowd(bench, 3);
  for (const name of ["h0", "h1"]) bench.tell({ kind: "peerFinished", peerId: idOf(name) });
  assert.deepEqual(
    bench
      .peer("h0")
      .neighbours.map(({ host }) => host.facts.id)
      .toSorted(),
    ["h2", "reader"],
  );
});

test("one that does not share has neighbours and is nobody's", () => {
  const bench = new Bench();
  aCrowd(bench, 2);
  assert.deepEqual(told(bench.join("taker", { sharing: false })), ["taker: parents h0 h1 reader"]);
  assert.deepEqual(told(bench.join("h2")), ["h2: parents h0 h1 reader"]);
});

test("the keys of the source's readers are kept, newest last, and a new one is told to all", () => {
  const bench = new Bench();
  const [first, second] = [Uint8Array.of(1), Uint8Array.of(2)];
  bench.join("h1", { signingKey: first });
  bench.reads("h1");
  bench.join("h2", { signingKey: second });
  bench.join("h3");
  assert.deepEqual(told(bench.detach("h1")), ["h2: source reader-lost", "h3: pushed h2"]);
  assert.deepEqual(told(bench.pass(600)), ["h2: pushed h3"]);
  assert.deepEqual(bench.cluster.tasks.get(TASK)?.readerKeys, [first, second]);
});

test("a host that is not ours is noticed while it lives", () => {
  const bench = new Bench({ announceIntervalDefaultMs: "1s" });
  bench.host("h1");
  assert.equal(bench.cluster.foreignHosts.size, 0);
  bench.host("f1", { foreign: true });
  assert.equal(bench.cluster.foreignHosts.size, 1);
  bench.pass(3000);
  assert.equal(bench.cluster.foreignHosts.size, 0);
});
