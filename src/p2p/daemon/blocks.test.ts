import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../base/random.ts";
import { inBlocks } from "./blocks.ts";

async function* chunksOf(content: Uint8Array, sizes: Iterable<number>, error?: Error): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (const size of sizes) {
    if (at >= content.length) break;
    yield content.subarray(at, at + size);
    at += size;
  }
  if (error !== undefined) throw error;
}

test("blocks hold the same bytes in the same order, whatever the chunks were", async () => {
  const random = createRandom(5);
  const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
  for (let round = 0; round < 50; round++) {
    const sizes = Array.from({ length: 1000 }, () => 1 + random.below(90));
    const got: number[] = [];
    const lengths: number[] = [];
    for await (const block of inBlocks(chunksOf(content, sizes), 64)) {
      got.push(...block); // copied: a block is lent, not given
      lengths.push(block.length);
    }
    assert.deepEqual(got, [...content]);
    assert.ok(lengths.slice(0, -1).every((length) => length === 64));
  }
});

test("what came before a body broke is given, then its error", async () => {
  const content = new Uint8Array(100).fill(7);
  let bytes = 0;
  await assert.rejects(async () => {
    for await (const block of inBlocks(chunksOf(content, [30, 30, 40], new Error("broken")), 64)) bytes += block.length;
  }, /^Error: broken$/);
  assert.equal(bytes, 100);
});

test("an empty body gives no block, and leaving early closes the body", async () => {
  for await (const block of inBlocks(chunksOf(new Uint8Array(), []), 8)) assert.fail(`got ${block.length} bytes`);
  let closed = false;
  const body = (async function* () {
    try {
      for (;;) yield new Uint8Array(8);
    } finally {
      closed = true;
    }
  })();
  for await (const block of inBlocks(body, 8)) {
    assert.equal(block.length, 8);
    break;
  }
  assert.ok(closed);
});
