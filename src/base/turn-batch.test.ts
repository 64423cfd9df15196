import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { TurnBatch } from "./turn-batch.ts";

test("what is said in one turn is passed on together, and no more than so many at a time", async () => {
  const passed: (readonly number[])[] = [];
  const batch = new TurnBatch<number>({ itemsMax: 3, pass: (items) => passed.push(items) });
  for (const item of [1, 2]) batch.add(item);
  await Promise.resolve().then(() => batch.add(3));
  batch.add(4);
  assert.deepEqual(passed, [[1, 2, 3]]);
  await setImmediate();
  assert.deepEqual(passed, [[1, 2, 3], [4]]);
});

test("what must not wait is passed on before what is said by another way", async () => {
  const passed: (readonly number[])[] = [];
  const batch = new TurnBatch<number>({ itemsMax: 3, pass: (items) => passed.push(items) });
  batch.add(1);
  batch.flush();
  assert.deepEqual(passed, [[1]]);
  await setImmediate();
  assert.deepEqual(passed, [[1]]);
});
