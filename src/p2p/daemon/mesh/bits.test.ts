import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../../base/random.ts";
import { Bitmap } from "../../model/piece.ts";
import { popcount } from "../../../base/popcount.ts";
import { Bits, lowestBitOf } from "./bits.ts";

const EDGES = [0, 1, 7, 8, 31, 32, 33, 63, 64, 100];

test("bits are set, cleared and counted one by one, across words", () => {
  for (const length of [1, 31, 32, 33, 100]) {
    const bits = new Bits(length);
    const model = new Set<number>();
    const random = createRandom(length);
    for (let round = 0; round < 500; round++) {
      const index = random.below(length);
      const wanted = random.below(2) === 0;
      if (wanted) bits.set(index);
      else bits.clear(index);
      if (wanted) model.add(index);
      else model.delete(index);
      assert.equal(bits.count(), model.size);
      assert.equal(bits.has(index), model.has(index));
    }
    for (let index = 0; index < length; index++) assert.equal(bits.has(index), model.has(index));
  }
});

test("a bitmap as it travels reads as the rest of the program writes it, and the other way round", () => {
  const length = 101;
  const bitmap = new Bitmap(length);
  for (const index of EDGES) bitmap.set(index);
  const bits = new Bits(length);
  bits.set(50); // what was there before counts no more
  bits.load(bitmap.toBytes(), length);
  for (let index = 0; index < length; index++) assert.equal(bits.has(index), bitmap.has(index));
  assert.deepEqual(bits.toBytes(length), bitmap.toBytes());
});

test("a bitmap that is too short is unset behind its end, and what is too long of one is ignored", () => {
  const rows: readonly (readonly [length: number, bytes: number, count: number])[] = [
    [20, 0, 0],
    [20, 2, 16],
    [20, 3, 20], // with four stray bits
    [20, 1000, 20],
    [32, 5, 32],
    [0, 8, 0],
  ];
  for (const [length, bytes, count] of rows) {
    const bits = new Bits(length);
    bits.load(new Uint8Array(bytes).fill(0xff), length);
    assert.equal(bits.count(), count, `${length} pieces, ${bytes} bytes`);
  }
});

test("words are counted and searched with every bit, the sign too", () => {
  for (let bit = 0; bit < 32; bit++) {
    assert.equal(popcount(1 << bit), 1);
    assert.equal(lowestBitOf(1 << bit), bit);
    assert.equal(lowestBitOf((1 << bit) | (1 << 31)), bit);
  }
  assert.equal(popcount(0), 0);
  assert.equal(popcount(0xffff_ffff), 32);
  assert.equal(popcount(0x8000_0001), 2);
});
