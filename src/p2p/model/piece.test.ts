import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import * as fc from "fast-check";
import { AnaxError, InvariantError } from "../../base/errors.ts";
import {
  Bitmap,
  formatDigest,
  formatPieceDigest,
  ownPieceLengthOf,
  parseDigest,
  pieceCountOf,
  pieceLengthOf,
  pieceRangeOf,
  piecesOfRange,
} from "./piece.ts";
import { trafficNumberOf, trafficTypeOf } from "./types.ts";

const MIB = 1024 * 1024;
const refuses = (run: () => unknown): void => assert.throws(run, (error) => error instanceof AnaxError && error.code === "input.invalid");

test("among ours pieces are 1/512 of the content, of 256 KiB at least", () => {
  const table = [
    [1, MIB / 4],
    [64 * MIB, MIB / 4],
    [256 * MIB - 1, MIB / 4],
    [256 * MIB, MIB / 2],
    [1024 * MIB, 2 * MIB],
    [64 * 1024 * MIB, 32 * MIB],
    [128 * 1024 * MIB, 64 * MIB],
  ] as const;
  for (const [contentLength, pieceLength] of table) assert.equal(ownPieceLengthOf(contentLength), pieceLength, `${contentLength} bytes`);
});

test("pieces grow with the content between 4 and 64 MiB", () => {
  const table = [
    [0, 4 * MIB],
    [1, 4 * MIB],
    [2000 * MIB, 4 * MIB],
    [2000 * MIB + 499, 4 * MIB],
    [2000 * MIB + 500, 8 * MIB],
    [4000 * MIB, 8 * MIB],
    [4000 * MIB + 500, 16 * MIB],
    [16_000 * MIB + 500, 64 * MIB],
    [Number.MAX_SAFE_INTEGER, 64 * MIB],
  ] as const;
  for (const [contentLength, pieceLength] of table) assert.equal(pieceLengthOf(contentLength), pieceLength, String(contentLength));
});

test("pieces cover the content without gap or overlap", () => {
  const layouts = fc.record({ contentLength: fc.nat(100_000), pieceLength: fc.integer({ min: 100, max: 5000 }) });
  fc.assert(
    fc.property(layouts, (layout) => {
      let end = 0;
      for (let index = 0; index < pieceCountOf(layout); index++) {
        const range = pieceRangeOf(layout, index);
        assert.equal(range.start, end);
        assert.ok(range.length > 0 && range.length <= layout.pieceLength);
        end += range.length;
      }
      assert.equal(end, layout.contentLength);
      assert.throws(() => pieceRangeOf(layout, pieceCountOf(layout)), InvariantError);
    }),
    { seed: 41 },
  );
});

test("a range names exactly the pieces that hold its bytes", () => {
  const layout = { contentLength: 25, pieceLength: 10 };
  const table = [
    [0, 1, 0, 1],
    [0, 10, 0, 1],
    [9, 2, 0, 2],
    [10, 10, 1, 1],
    [5, 100, 0, 3],
    [24, 1, 2, 1],
    [25, 5, 2, 0],
    [10, 0, 1, 0],
  ] as const;
  for (const [start, length, first, count] of table) assert.deepEqual(piecesOfRange(layout, { start, length }), { first, count });
});

test("layouts that nobody can hold are refused", () => {
  for (const [contentLength, pieceLength] of [
    [-1, 4],
    [1.5, 4],
    [8, 0],
    [8, Number.NaN],
    [2 ** 53, MIB],
    [2 ** 20 + 1, 1],
  ] as const) {
    refuses(() => pieceCountOf({ contentLength, pieceLength }));
  }
});

test("digests are read, normalised and written", () => {
  const hex = "ab".repeat(32);
  const good = [
    [`sha256:${hex}`, `sha256:${hex}`],
    [`sha256:${hex.toUpperCase()}`, `sha256:${hex}`],
    [`sha512:${hex}${hex}`, `sha512:${hex}${hex}`],
    ["crc32:0", "crc32:0"],
    ["crc32:0000000012", "crc32:12"],
    ["crc32:4294967295", "crc32:4294967295"],
  ] as const;
  for (const [text, written] of good) assert.equal(formatDigest(parseDigest(text)), written);
  const bad = [
    "",
    "sha256",
    `sha256:${hex}0`,
    `sha256:${hex}:`,
    `SHA256:${hex}`,
    `md5:${hex.slice(32)}`,
    "crc32:",
    "crc32:-1",
    "crc32:4294967296",
    "toString:1",
  ];
  for (const text of bad) refuses(() => parseDigest(text));
  assert.equal(formatPieceDigest(crc32("123456789")), "crc32:3421780262");
});

test("a bitmap behaves as a set of numbers and survives being stored", () => {
  const input = fc.integer({ min: 0, max: 70 }).chain((length) => fc.tuple(fc.constant(length), fc.array(fc.nat(Math.max(0, length - 1)))));
  fc.assert(
    fc.property(input, ([length, indices]) => {
      const bitmap = new Bitmap(length);
      const model = new Set<number>();
      for (const index of length === 0 ? [] : indices) {
        assert.equal(bitmap.set(index), !model.has(index));
        model.add(index);
      }
      const again = Bitmap.fromBytes(bitmap.toBytes(), length);
      const all = Array.from({ length }, (_, index) => index);
      assert.deepEqual(
        all.filter((index) => again.has(index)),
        [...model].toSorted((a, b) => a - b),
      );
      assert.deepEqual([again.count, again.full], [model.size, model.size === length]);
      for (const from of all)
        assert.equal(
          again.firstMissing(from),
          all.find((index) => index >= from && !model.has(index)),
        );
    }),
    { seed: 41 },
  );
});

test("a bitmap's bytes are little-endian by bit and checked when read", () => {
  const bitmap = new Bitmap(10);
  for (const index of [0, 3, 9]) bitmap.set(index);
  assert.deepEqual([...bitmap.toBytes()], [0b0000_1001, 0b0000_0010]);
  for (const bytes of [[], [0], [0, 0, 0], [0, 0b100], [0, 0x80]]) refuses(() => Bitmap.fromBytes(Uint8Array.from(bytes), 10));
  for (const index of [-1, 10, 0.5, Number.NaN]) assert.throws(() => bitmap.has(index), InvariantError);
  assert.throws(() => new Bitmap(2 ** 20 + 1), InvariantError);
});

test("traffic types have the numbers of the wire", () => {
  for (const [number, type] of ["back-to-source", "remote-peer", "local-peer"].entries()) assert.equal(trafficTypeOf(number), type);
  for (const number of [0, 1, 2]) assert.equal(trafficNumberOf(trafficTypeOf(number)), number);
  assert.equal(trafficTypeOf(9), "remote-peer");
});
