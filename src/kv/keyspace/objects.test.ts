import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../base/random.ts";
import { Objects } from "./objects.ts";
import { SET, type Value } from "./value.ts";

class Growing implements Value {
  readonly type = SET;
  readonly encoding = "hashtable";
  readonly size = 0;
  bytes: number;

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  copy(): Growing {
    return new Growing(this.bytes);
  }
}

test("the sum of sizes is right after any changes, however many", () => {
  const random = createRandom(3);
  const objects = new Objects();
  const model = new Map<number, Growing>();
  for (let step = 0; step < 20_000; step++) {
    const chosen = [...model.keys()][random.below(Math.max(1, model.size))];
    if (chosen === undefined || (random.next() < 0.3 && model.size < 50)) {
      const value = new Growing(random.below(1000));
      model.set(objects.add(value), value);
    } else if (random.next() < 0.1) {
      objects.remove(chosen);
      model.delete(chosen);
    } else {
      objects.changing(chosen);
      model.get(chosen)!.bytes += random.below(100);
    }
    if (random.next() < 0.001)
      assert.equal(
        objects.usedBytes,
        [...model.values()].reduce((sum, { bytes }) => sum + bytes, 0),
      );
  }
  objects.clear();
  assert.equal(objects.usedBytes, 0);
});

test("a command may go on changing what it named before many others", () => {
  const objects = new Objects();
  const values = Array.from({ length: 2000 }, () => new Growing(10));
  const numbers = values.map((value) => objects.add(value));
  assert.equal(objects.usedBytes, 20_000);
  for (let first = 0; first < 1500; first += 100) {
    objects.changing(numbers[first]!);
    for (let i = 0; i < 400; i++) objects.changing(numbers[first + i + 1]!);
    values[first]!.bytes += 5;
  }
  assert.equal(objects.usedBytes, 20_000 + 15 * 5);
});
