import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test } from "node:test";
import { dropIdleBlocks, giveBlock, letGo, takeBlock, uncountedMemory } from "./uncounted-memory.ts";

const MIB = 1024 * 1024;

test("memory that was let go of is collected, though nobody counts what is made", async () => {
  const before = process.memoryUsage.rss();
  let peak = before;
  for (let round = 0; round < 150; round++) {
    uncountedMemory(4 * MIB).fill(1);
    letGo(4 * MIB);
    await nextTurn();
    peak = Math.max(peak, process.memoryUsage.rss());
  }
  assert.ok(peak - before < 400 * MIB, `${Math.round((peak - before) / MIB)} MiB of 600`);
});

test("a block that was given back is taken again, unless nobody needed it for a while", () => {
  const blocks = [takeBlock(), takeBlock(), takeBlock()] as const;
  for (const block of blocks) giveBlock(block);
  dropIdleBlocks(100_000);
  assert.equal(takeBlock(), blocks[2]);
  giveBlock(blocks[2]);
  dropIdleBlocks(105_000);
  assert.equal(takeBlock(), blocks[2]);
  giveBlock(blocks[2]);
  dropIdleBlocks(110_000); // two of them were not needed
  assert.equal([takeBlock(), takeBlock(), takeBlock()].filter((block) => blocks.includes(block)).length, 1);
});
