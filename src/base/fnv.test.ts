import assert from "node:assert/strict";
import { test } from "node:test";
import { hashOf } from "./fnv.ts";

test("every machine finds the same number for a text", () => {
  const known = [
    ["", 0xab3e7c0b],
    ["a", 0x1a80b1b3],
    ["foobar", 0x0c0da6dc],
  ] as const;
  for (const [text, hash] of known) assert.equal(hashOf(text), hash);
});

test("names that differ in their last letters spread evenly, in their upper bits as in their lower ones", () => {
  const hashes = Array.from({ length: 16_000 }, (_, i) => hashOf(`host-${i}`));
  for (const part of [(hash: number) => hash >>> 28, (hash: number) => hash & 15]) {
    const counts = Array.from({ length: 16 }, () => 0);
    for (const hash of hashes) counts[part(hash)]!++; // 4 bits
    assert.ok(
      counts.every((count) => count > 850 && count < 1150),
      counts.join(" "),
    );
  }
  assert.ok(new Set(hashes).size > 15_990);
});
