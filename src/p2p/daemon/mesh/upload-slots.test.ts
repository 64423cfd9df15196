import assert from "node:assert/strict";
import { test } from "node:test";
import { UploadSlots } from "./upload-slots.ts";

const someSlots = (first: number): UploadSlots =>
  new UploadSlots({ first, link: () => ({ upload: 0, download: 0 }), clock: { nowMs: () => 0 } });

/** Neighbours that write down when they are called. */
function callers(names: string): { readonly called: string[]; readonly calls: Readonly<Record<string, () => void>> } {
  const called: string[] = [];
  return { called, calls: Object.fromEntries(names.split("").map((name) => [name, () => void called.push(name)])) };
}

test("there are as many slots as there may be, and a slot given back twice is one slot", () => {
  const slots = someSlots(2);
  const first = slots.tryTake();
  const second = slots.tryTake();
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual([slots.tryTake(), slots.inUse, slots.free], [undefined, 2, 0]);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.deepEqual([slots.inUse, slots.free], [1, 1]);
  assert.ok(slots.tryTake() !== undefined);
  assert.equal(slots.tryTake(), undefined);
});

test("those who were refused are called once each, in their order, one for each slot that becomes free", () => {
  const slots = someSlots(3);
  const held = [slots.tryTake()!, slots.tryTake()!, slots.tryTake()!];
  const { called, calls } = callers("abc");
  for (const name of "abcab") slots.onFree(calls[name]!); // who asks again keeps its place
  assert.deepEqual(called, []);
  held[0]![Symbol.dispose]();
  assert.deepEqual(called, ["a"]);
  held[1]![Symbol.dispose]();
  held[2]![Symbol.dispose]();
  assert.deepEqual(called, ["a", "b", "c"]);
  slots.tryTake()![Symbol.dispose]();
  assert.deepEqual(called, ["a", "b", "c"], "nobody is left to be called");
});

test("who has left is not called, and its turn passes to the next", () => {
  const slots = someSlots(1);
  const held = slots.tryTake()!;
  const { called, calls } = callers("ab");
  slots.onFree(calls["a"]!);
  slots.onFree(calls["b"]!);
  slots.forget(calls["a"]!);
  held[Symbol.dispose]();
  assert.deepEqual(called, ["b"]);
});

test("who takes the slot at once and is refused later stands at the end of the line", () => {
  const slots = someSlots(1);
  let held = slots.tryTake();
  const called: string[] = [];
  const greedy = (): void => {
    called.push("greedy");
    held = slots.tryTake();
    slots.onFree(greedy);
  };
  slots.onFree(greedy);
  slots.onFree(() => void called.push("other"));
  held![Symbol.dispose]();
  held![Symbol.dispose]();
  assert.deepEqual(called, ["greedy", "other"]);
});

test("who waits for fewer to be in use is called once, whoever gave the slot back, and not after it has left", () => {
  const slots = someSlots(4);
  const held = [slots.tryTake()!, slots.tryTake()!, slots.tryTake()!, slots.tryTake()!];
  const { called, calls } = callers("abc");
  slots.whenInUseAtMost(3, calls["a"]!);
  slots.whenInUseAtMost(1, calls["a"]!); // instead
  slots.whenInUseAtMost(2, calls["b"]!);
  slots.whenInUseAtMost(2, calls["c"]!);
  slots.whenInUseAtMost(-1, calls["c"]!); // never
  held[0]![Symbol.dispose]();
  assert.deepEqual(called, []);
  held[1]![Symbol.dispose]();
  assert.deepEqual(called, ["b"]);
  held[2]![Symbol.dispose]();
  assert.deepEqual(called, ["b", "a"]);
  slots.whenInUseAtMost(0, calls["b"]!);
  slots.forget(calls["b"]!);
  held[3]![Symbol.dispose]();
  slots.tryTake()![Symbol.dispose]();
  assert.deepEqual(called, ["b", "a"]);
});
