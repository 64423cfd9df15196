import assert from "node:assert/strict";
import { test } from "node:test";
import { Bits } from "./bits.ts";
import { Gateways, type RackMember } from "./gateways.ts";

const PIECES = 200;
const NAMES = Array.from({ length: 5 }, (_, i) => `10.0.0.${i + 1}-host-${i + 1}`);

interface Rack {
  readonly names: readonly string[];
  readonly members: ReadonlyMap<string, RackMember>;
  readonly gateways: ReadonlyMap<string, Gateways>;
}

/** Hosts of a rack that all know each other, and somebody outside. */
function aRack(names: readonly string[] = NAMES): Rack {
  const members = new Map(names.map((name) => [name, { name, distance: 0, has: new Bits(PIECES) }]));
  const outsider = { name: "outside", distance: 1, has: new Bits(PIECES) };
  const gateways = new Map(
    names.map((name) => {
      const others = [...members.values()].filter((member) => member.name !== name);
      const gateway = new Gateways(name, PIECES);
      gateway.changed([...others, outsider]);
      return [name, gateway];
    }),
  );
  return { names, members, gateways };
}

const allBits = (): Uint32Array => new Uint32Array(new Bits(PIECES).words.length).fill(0xffff_ffff);

/** Who may bring the piece in at a time, when all of it is outside. */
function bringersOf({ names, gateways }: Rack, piece: number, nowMs: number, pieceMs = 0): string[] {
  return names.filter((name) => {
    const outside = new Bits(PIECES);
    outside.set(piece);
    gateways.get(name)!.filter(outside.words, nowMs, pieceMs);
    return outside.has(piece);
  });
}

function seen({ gateways }: Rack, nowMs: number): void {
  for (const gateway of gateways.values()) for (let piece = 0; piece < PIECES; piece++) gateway.seenOutside(piece, nowMs);
}

test("members who know each other agree on one for each piece, and share the pieces about evenly", () => {
  const rack = aRack();
  seen(rack, 100);
  const shares = new Map(NAMES.map((name) => [name, 0]));
  for (let piece = 0; piece < PIECES; piece++) {
    const [bringer, ...rest] = bringersOf(rack, piece, 100);
    assert.deepEqual(rest, [], `piece ${piece} crosses more than once`);
    shares.set(bringer!, shares.get(bringer!)! + 1);
  }
  const even = PIECES / NAMES.length;
  for (const [name, share] of shares) assert.ok(share > even / 2 && share < even * 2, `${name} brings in ${share} of ${PIECES}`);
});

test("when the first is silent a second steps in after a second, and anybody after three", () => {
  const rack = aRack();
  seen(rack, 100);
  for (let piece = 0; piece < PIECES; piece++) {
    const at = (ms: number): string[] => bringersOf(rack, piece, 100 + ms);
    const first = at(0);
    assert.deepEqual(at(999), first);
    const two = at(1000);
    assert.equal(two.length, 2);
    assert.ok(two.includes(first[0]!));
    assert.deepEqual(at(2999), two);
    assert.deepEqual(at(3000), NAMES);
  }
});

test("over slow links, where a piece takes longer to come in, others wait for longer", () => {
  const rack = aRack();
  seen(rack, 0);
  const at = (ms: number): string[] => bringersOf(rack, 7, ms, 2500);
  assert.equal(at(2499).length, 1);
  assert.equal(at(2500).length, 2);
  assert.equal(at(7499).length, 2);
  assert.deepEqual(at(7500), NAMES);
});

test("the second stays back while the first has the piece or gets it", () => {
  const rack = aRack();
  seen(rack, 0);
  const [first] = bringersOf(rack, 7, 0);
  rack.members.get(first!)!.has.set(7);
  assert.deepEqual(bringersOf(rack, 7, 2000), [first]);
  rack.members.get(first!)!.has.clear(7);
  assert.equal(bringersOf(rack, 7, 2000).length, 2);
});

test("the time counts from when the piece was first seen outside, whoever shows it later", () => {
  const rack = aRack();
  for (const nowMs of [500, 200, 900]) seen(rack, nowMs);
  assert.equal(bringersOf(rack, 3, 1199).length, 1);
  assert.equal(bringersOf(rack, 3, 1200).length, 2);
});

test("a piece that nobody has shown outside waits for its first gateway however late it is", () => {
  const rack = aRack();
  assert.equal(bringersOf(rack, 3, 1e9).length, 1);
});

test("when the first leaves, those who remain agree on another at once", () => {
  const rack = aRack();
  seen(rack, 0);
  const [first] = bringersOf(rack, 7, 0);
  const rest = NAMES.filter((name) => name !== first);
  for (const name of rest)
    rack.gateways.get(name)!.changed(rest.filter((other) => other !== name).map((other) => rack.members.get(other)!));
  const remaining = { ...rack, names: rest };
  for (let piece = 0; piece < PIECES; piece++) assert.equal(bringersOf(remaining, piece, 0).length, 1);
});

test("whoever stood in may not once the first is at work", () => {
  const rack = aRack();
  seen(rack, 0);
  const [first] = bringersOf(rack, 7, 0);
  const second = bringersOf(rack, 7, 1000).find((name) => name !== first)!;
  assert.ok(rack.gateways.get(second)!.mayCross(7));
  rack.members.get(first!)!.has.set(7);
  rack.gateways.get(second)!.filter(allBits(), 1000, 0);
  assert.ok(!rack.gateways.get(second)!.mayCross(7));
});

test("without members of the rack there is nothing to filter", () => {
  const alone = new Gateways("me", PIECES);
  alone.changed([{ name: "outside", distance: 2, has: new Bits(PIECES) }]);
  const outside = allBits();
  alone.filter(outside, 0, 0);
  for (let piece = 0; piece < PIECES; piece++) assert.equal((outside[piece >>> 5]! >>> (piece & 31)) & 1, 1);
  assert.ok(alone.mayCross(5));
});

test("what may cross is what the last filter left", () => {
  const rack = aRack();
  seen(rack, 0);
  const gateway = rack.gateways.get(NAMES[0]!)!;
  const outside = allBits();
  gateway.filter(outside, 0, 0);
  for (let piece = 0; piece < PIECES; piece++) assert.equal(gateway.mayCross(piece), ((outside[piece >>> 5]! >>> (piece & 31)) & 1) === 1);
});
