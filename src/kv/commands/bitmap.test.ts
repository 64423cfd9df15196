import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { latin1Of } from "../../base/latin1.ts";
import { aStore } from "../store-fixture.ts";

const someBits = fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes));
const index = fc.integer({ min: -110, max: 110 });
const bitsOf = (bytes: Uint8Array): number[] => [...bytes].flatMap((byte) => [7, 6, 5, 4, 3, 2, 1, 0].map((shift) => (byte >> shift) & 1));

/** What a range of BITCOUNT and BITPOS covers. */
function covered(size: number, start: number, end: number): [number, number] {
  if (start < 0 && end < 0 && start > end) return [0, 0];
  const from = start < 0 ? Math.max(0, size + start) : start;
  const to = Math.min(size - 1, end < 0 ? Math.max(0, size + end) : end);
  return from > to ? [0, 0] : [from, to + 1];
}

test("bits are counted and found as in an array of bits, by bytes and by bits", () => {
  fc.assert(
    fc.property(
      fc.tuple(someBits, index, index, fc.constantFrom("BIT", "BYTE"), fc.constantFrom(0, 1)),
      ([bytes, start, end, unit, bit]) => {
        const { call } = aStore();
        call("SET", "key", latin1Of(bytes));
        const all = bitsOf(bytes);
        const [from, to] = covered(unit === "BIT" ? all.length : bytes.length, start, end).map((at) => (unit === "BIT" ? at : 8 * at));
        const range = all.slice(from, to);
        assert.equal(call("BITCOUNT", "key", String(start), String(end), unit), range.filter((each) => each === 1).length);
        const found = range.indexOf(bit);
        assert.equal(call("BITPOS", "key", String(bit), String(start), String(end), unit), found < 0 ? -1 : from! + found);
      },
    ),
  );
});

test("BITOP takes what is missing for zeros", () => {
  fc.assert(
    fc.property(fc.array(someBits, { minLength: 1, maxLength: 4 }), fc.constantFrom("AND", "OR", "XOR"), (sources, operation) => {
      const { call } = aStore();
      for (const [i, source] of sources.entries()) call("SET", `source${i}`, latin1Of(source));
      const length = Math.max(...sources.map((source) => source.length));
      const expected = Array.from({ length }, (_, at) =>
        sources.map((source) => source[at] ?? 0).reduce((a, b) => (operation === "AND" ? a & b : operation === "OR" ? a | b : a ^ b)),
      );
      assert.equal(call("BITOP", operation, "target", ...sources.map((_, i) => `source${i}`)), length);
      assert.deepEqual(call("GET", "target"), length === 0 ? null : latin1Of(Buffer.from(expected)));
    }),
  );
});

test("a field holds what fits it, and what does not as it was told", () => {
  const value = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const field = fc
    .record({ signed: fc.boolean(), bits: fc.integer({ min: 1, max: 64 }), offset: fc.integer({ min: 0, max: 100 }) })
    .map((each) => ({ ...each, bits: each.signed ? each.bits : Math.min(63, each.bits) }));
  fc.assert(
    fc.property(field, value, value, fc.constantFrom("WRAP", "SAT", "FAIL"), ({ signed, bits, offset }, before, by, overflow) => {
      const { call } = aStore();
      const type = `${signed ? "i" : "u"}${bits}`;
      const cut = (wide: bigint): bigint => (signed ? BigInt.asIntN(bits, wide) : BigInt.asUintN(bits, wide));
      call("BITFIELD", "key", "SET", type, String(offset), String(before));
      const sum = cut(before) + by;
      const max = signed ? 2n ** BigInt(bits - 1) - 1n : 2n ** BigInt(bits) - 1n;
      const min = signed ? -(2n ** BigInt(bits - 1)) : 0n;
      const kept = overflow === "WRAP" ? cut(sum) : overflow === "SAT" ? (sum > max ? max : sum < min ? min : sum) : sum;
      const refused = overflow === "FAIL" && cut(sum) !== sum;
      const answered = call("BITFIELD", "key", "OVERFLOW", overflow, "INCRBY", type, String(offset), String(by));
      assert.deepEqual(answered, [refused ? null : Number(kept)]);
      assert.deepEqual(call("BITFIELD_RO", "key", "GET", type, String(offset)), [Number(refused ? cut(before) : kept)]);
    }),
  );
});

test("a string grows with its bits, is told of only if it changed, and is bounded", () => {
  const { call, effects } = aStore();
  assert.equal(call("SETBIT", "key", "20", "0"), 0);
  assert.equal(call("STRLEN", "key"), 3);
  assert.equal(call("SETBIT", "key", "20", "0"), 0);
  assert.equal(call("SETBIT", "key", "20", "1"), 0);
  assert.equal(call("GETBIT", "key", "20"), 1);
  assert.equal(call("GETBIT", "key", "2000"), 0);
  assert.deepEqual(effects(), ["SETBIT key 20 0", "SETBIT key 20 1"]);
  assert.equal(call("SETBIT", "key", "4294967296", "1"), "-ERR bit offset is not an integer or out of range");
  assert.equal(call("SETBIT", "key", "-1", "1"), "-ERR bit offset is not an integer or out of range");
  assert.equal(call("SETBIT", "key", "1", "2"), "-ERR bit is not an integer or out of range");
});
