import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../base/random.ts";
import { choosePiece, type Holder } from "./choose-piece.ts";

interface Named extends Holder {
  readonly name: string;
}

const aHolder = (name: string, pieces: readonly number[], more: Partial<Holder> = {}): Named => ({
  name,
  ready: true,
  inFlight: 0,
  has: (index) => pieces.includes(index),
  ...more,
});

const choose = (
  holders: readonly Named[],
  options: { readonly seed?: number; readonly wanted?: (index: number) => boolean; readonly pieceCount?: number } = {},
) =>
  choosePiece({
    pieceCount: options.pieceCount ?? 4,
    wanted: options.wanted ?? (() => true),
    holders,
    inFlightMax: 8,
    random: createRandom(options.seed ?? 1),
  });

test("the rarest piece comes first", () => {
  const holders = [aHolder("a", [0, 1, 2, 3]), aHolder("b", [0, 1, 3]), aHolder("c", [0, 3])];
  for (let seed = 1; seed <= 50; seed++) assert.equal(choose(holders, { seed })?.index, 2);
});

test("equally rare pieces are chosen by chance, each of them sometimes", () => {
  const holders = [aHolder("a", [0, 1, 2, 3])];
  const chosen = new Set(Array.from({ length: 100 }, (_, seed) => choose(holders, { seed })?.index));
  assert.deepEqual(chosen, new Set([0, 1, 2, 3]));
});

test("the least busy holder is asked", () => {
  const holders = [aHolder("busy", [0, 1, 2, 3], { inFlight: 3 }), aHolder("idle", [0, 1, 2, 3], { inFlight: 1 })];
  for (let seed = 1; seed <= 50; seed++) assert.equal(choose(holders, { seed })?.holder.name, "idle");
});

test("nobody is asked who is not ready, full, or without the piece", () => {
  assert.equal(choose([aHolder("a", [0], { ready: false })]), undefined);
  assert.equal(choose([aHolder("a", [0], { inFlight: 8 })]), undefined);
  assert.equal(choose([aHolder("a", [])]), undefined);
  assert.equal(choose([]), undefined);
  assert.equal(choose([aHolder("a", [0])], { pieceCount: 0 }), undefined);
});

test("what is not wanted is not chosen", () => {
  const holders = [aHolder("a", [0, 1, 2, 3])];
  for (let seed = 1; seed <= 50; seed++) assert.equal(choose(holders, { seed, wanted: (index) => index === 1 })?.index, 1);
  assert.equal(choose(holders, { wanted: () => false }), undefined);
});
