import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../base/random.ts";
import { samplePositions } from "./sample.ts";

test("a sample has different positions, each as often as any other", () => {
  const random = createRandom(7);
  for (const [size, count] of [
    [10, 3],
    [10, 9],
    [10, 10],
    [10, 20],
    [3, 0],
  ] as const) {
    const rounds = 20_000;
    const times = Array.from({ length: size }, () => 0);
    for (let round = 0; round < rounds; round++) {
      const sample = [...samplePositions(size, count, () => random.next())];
      assert.equal(sample.length, Math.min(size, count));
      for (const position of sample) times[position]!++;
    }
    const expected = (rounds * Math.min(size, count)) / size;
    for (const time of times) assert.ok(Math.abs(time - expected) <= 0.06 * expected, `${size}, ${count}: ${times.join(" ")}`);
  }
});
