import assert from "node:assert/strict";
import { test } from "node:test";
import { createRegistry } from "../../../base/metrics.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { aMemoryBudget } from "../../../../test/kit/memory.ts";
import type { MemoryBudget } from "./budget.ts";

const never = new AbortController().signal;

/** The order in which reservations are granted, each under its name. */
function inLine(budget: MemoryBudget) {
  const granted: string[] = [];
  const leases = new Map<string, Disposable>();
  const ask = async (name: string, bytes: number, signal = never): Promise<void> => {
    leases.set(name, await budget.reserve(bytes, signal));
    granted.push(name);
  };
  return { granted, ask, letGo: (name: string) => leases.get(name)?.[Symbol.dispose]() };
}

const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test("who comes when nothing is left waits, and none overtakes another", async () => {
  const { granted, ask, letGo } = inLine(aMemoryBudget({ totalBytes: 10 }));
  void ask("a", 6);
  void ask("b", 4);
  void ask("big", 8);
  void ask("small", 1);
  await settled();
  assert.deepEqual(granted, ["a", "b"]);
  letGo("b");
  letGo("b"); // twice is once
  await settled();
  assert.deepEqual(granted, ["a", "b"], "the small one would fit, but is not first");
  letGo("a");
  await settled();
  assert.deepEqual(granted, ["a", "b", "big", "small"]);
});

test("what asks for more than there is gets all of it, alone", async () => {
  const budget = aMemoryBudget({ totalBytes: 10 });
  const { granted, ask, letGo } = inLine(budget);
  void ask("huge", 1000);
  void ask("next", 1);
  await settled();
  assert.deepEqual(granted, ["huge"]);
  assert.equal(budget.tryReserve(0), undefined, "others wait");
  letGo("huge");
  await settled();
  assert.deepEqual(granted, ["huge", "next"]);
});

test("a wait has an end, and who gives up lets the next one through", async () => {
  const clock = new VirtualClock();
  const registry = createRegistry({ runtime: false });
  const budget = aMemoryBudget({ totalBytes: 10, clock, registry, config: { waitMs: "1s", waitingMax: 2 } });
  const waiting = async () => (await registry.getSingleMetric("anax_memory_waiting")!.get()).values[0]!.value;
  const { granted, ask } = inLine(budget);
  await ask("a", 6);
  const big = assert.rejects(ask("big", 10), { code: "memory.exhausted" });
  const leave = new AbortController();
  const small = assert.rejects(ask("left", 9, leave.signal), /gone/);
  await settled();
  assert.equal(await waiting(), 2);
  await assert.rejects(ask("refused", 1), { code: "memory.exhausted" });
  leave.abort(new Error("gone"));
  await small;
  void ask("small", 4);
  await clock.advance(1000);
  await big;
  await settled();
  assert.deepEqual(granted, ["a", "small"]);
  assert.equal(await waiting(), 0);
});
