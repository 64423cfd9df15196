import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { createRandom } from "../../base/random.ts";
import { describeRuns, emptyHyperLogLog, estimateOf, HyperLogLog, hyperLogLogOf, registersOf } from "./hyperloglog.ts";
import { registerAndRunOf } from "./murmur.ts";

const MULTIPLIER = 0xc6a4a7935bd1e995n;
const cut = (value: bigint): bigint => BigInt.asUintN(64, value);

/** MurmurHash64A as it is defined, in whole 64-bit numbers. */
function murmur64(bytes: Buffer): bigint {
  let hash = 0xadc83b19n ^ cut(BigInt(bytes.length) * MULTIPLIER);
  let at = 0;
  for (; at + 8 <= bytes.length; at += 8) {
    let word = cut(bytes.readBigUInt64LE(at) * MULTIPLIER);
    word = cut((word ^ (word >> 47n)) * MULTIPLIER);
    hash = cut((hash ^ word) * MULTIPLIER);
  }
  if (at < bytes.length) {
    for (let i = 0; at + i < bytes.length; i++) hash ^= BigInt(bytes[at + i]!) << BigInt(8 * i);
    hash = cut(hash * MULTIPLIER);
  }
  hash = cut((hash ^ (hash >> 47n)) * MULTIPLIER);
  return hash ^ (hash >> 47n);
}

test("the hash in halves is the hash", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (content) => {
      const bytes = Buffer.from(content);
      const hash = murmur64(bytes);
      const found = registerAndRunOf(bytes, 0, bytes.length);
      assert.equal(found & 0x3fff, Number(hash & 0x3fffn));
      const rest = (hash >> 14n) | (1n << 50n);
      assert.equal(found >> 14, rest.toString(2).length - rest.toString(2).lastIndexOf("1"));
    }),
    { numRuns: 1000 },
  );
});

test("sparse and dense ones count the same, and well, and what was sparse becomes dense when it grows", () => {
  const random = createRandom(6);
  const sparse = new HyperLogLog(emptyHyperLogLog(), 3000);
  const dense = new HyperLogLog(emptyHyperLogLog(), 3000);
  dense.makeDense();
  const element = Buffer.alloc(8);
  for (let count = 1; count <= 20_000; count++) {
    element.writeDoubleLE(random.next() + count);
    assert.equal(sparse.add(element, 0, 8), dense.add(element, 0, 8));
    if (![1, 10, 100, 1000, 5000, 20_000].includes(count)) continue;
    const registers = registersOf(sparse.bytes)!;
    assert.deepEqual(registers, registersOf(dense.bytes));
    assert.ok(Math.abs(estimateOf(registers) - count) <= 0.04 * count, String(count));
    assert.equal(sparse.dense, count > 1000);
    assert.deepEqual(registersOf(hyperLogLogOf(registers, Infinity)), registers);
  }
});

test("an empty one is a single run, and what is added divides it", () => {
  const counted = new HyperLogLog(emptyHyperLogLog(), 3000);
  assert.equal(describeRuns(counted.bytes), "Z:16384");
  counted.add(Buffer.from("a"), 0, 1);
  const found = registerAndRunOf(Buffer.from("a"), 0, 1);
  const [register, run] = [found & 0x3fff, found >> 14];
  assert.equal(describeRuns(counted.bytes), `Z:${register} v:${run},1 Z:${16_383 - register}`);
});

test("what is damaged is found out, never read beyond", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 5 }), fc.nat({ max: 300 }), (damages, size) => {
      const counted = new HyperLogLog(emptyHyperLogLog(), 3000);
      for (let i = 0; i < size; i++) counted.add(Buffer.from(`e${i}`), 0, `e${i}`.length);
      const bytes = Buffer.from(counted.bytes);
      for (const [at, byte] of damages) bytes[16 + (at % (bytes.length - 16))] = byte;
      const whole = registersOf(bytes) !== undefined;
      const damaged = new HyperLogLog(bytes, 3000);
      const added = damaged.add(Buffer.from("x"), 0, 1);
      if (whole) assert.notEqual(added, undefined);
    }),
  );
});
