import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../base/random.ts";
import { BLOB_BYTES_MAX } from "../meta/extents.ts";
import { DirtyRanges } from "./dirty-ranges.ts";
import { SlotBuffers } from "./slot-buffers.ts";

test("what is written in any order is what is there, and ranges neither overlap nor leave their slot", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = createRandom(seed);
    const base = BLOB_BYTES_MAX - 600; // so that ranges lie on both sides of a border
    const expected = new Uint8Array(1200);
    const ranges = new DirtyRanges(new SlotBuffers());
    const written = new Uint8Array(1200);
    for (let step = 0; step < 60; step++) {
      const from = random.below(1100);
      const bytes = Buffer.alloc(1 + random.below(100), 1 + step);
      if (random.below(8) === 0) {
        bytes.forEach((byte, index) => {
          if (written[from + index] === 0) expected[from + index] = byte;
        });
        ranges.writeUnder(base + from, bytes);
      } else {
        expected.set(bytes, from);
        ranges.write(base + from, bytes);
      }
      written.fill(1, from, from + bytes.length);
    }
    const found = new Uint8Array(1200);
    ranges.overlay(base, found);
    assert.deepEqual(found, expected, `seed ${seed}`);
    let end = 0;
    for (const { position, data } of ranges.list()) {
      assert.ok(position >= end && data.length > 0, `seed ${seed}`);
      end = position + data.length;
      assert.equal(Math.floor(position / BLOB_BYTES_MAX), Math.floor((end - 1) / BLOB_BYTES_MAX));
    }
  }
});

test("a slot that is full can be taken, and takes its memory along", () => {
  const ranges = new DirtyRanges(new SlotBuffers());
  const part = Buffer.alloc(1024 * 1024, 7);
  for (let index = 0; index < 4; index++) {
    assert.equal(ranges.takeFull(0), undefined);
    ranges.write(index * part.length, part);
  }
  assert.equal(ranges.bytes, BLOB_BYTES_MAX);
  assert.equal(ranges.takeFull(3 * part.length)?.data.length, BLOB_BYTES_MAX);
  assert.deepEqual([ranges.bytes, ranges.count], [0, 0]);
});
