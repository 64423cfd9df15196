import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { eachLimited } from "./each-limited.ts";

const never = new AbortController().signal;

test("every item has its turn, never more of them at a time than allowed", async () => {
  const done: number[] = [];
  let running = 0;
  let most = 0;
  await eachLimited([...Array(20).keys()], { atOnce: 3, signal: never }, async (item, _stop, index) => {
    most = Math.max(most, ++running);
    await setImmediate();
    running--;
    assert.equal(index, item);
    done.push(item);
  });
  assert.deepEqual(
    done.toSorted((a, b) => a - b),
    [...Array(20).keys()],
  );
  assert.equal(most, 3);
});

test("the first failure stops those under way, begins no other, and is what is thrown", async () => {
  const begun: number[] = [];
  const stopped: unknown[] = [];
  const failure = new Error("first");
  const work = async (item: number, stop: AbortSignal): Promise<void> => {
    begun.push(item);
    if (item === 1) throw failure;
    await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
    stopped.push(stop.reason);
    throw new Error("an echo");
  };
  await assert.rejects(eachLimited([0, 1, 2, 3, 4], { atOnce: 2, signal: never }, work), failure);
  assert.deepEqual(begun, [0, 1]);
  assert.deepEqual(stopped, [failure]);
});

test("a signal ends it like a failure, also one that has aborted before", async () => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const begun: number[] = [];
  const work = async (item: number): Promise<void> => {
    begun.push(item);
    controller.abort(reason);
  };
  await assert.rejects(eachLimited([0, 1, 2], { atOnce: 1, signal: controller.signal }, work), reason);
  await assert.rejects(eachLimited([0, 1, 2], { atOnce: 1, signal: controller.signal }, work), reason);
  assert.deepEqual(begun, [0]);
});
