import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { Watchdog } from "./watchdog.ts";

test("a watchdog barks once, only after silence, and only for what it watches last", async () => {
  const clock = new VirtualClock();
  const barks: string[] = [];
  using dog = new Watchdog<"head" | "body">(clock, (what, afterMs) => barks.push(`${what} ${afterMs} at ${clock.nowMs()}`));
  dog.watch("head", 1000);
  await clock.advance(900);
  dog.watch("body", 500);
  await clock.advance(400);
  dog.touch();
  await clock.advance(499);
  assert.deepEqual(barks, []);
  await clock.advance(1);
  assert.deepEqual(barks, ["body 500 at 1800"]);
  await clock.advance(10_000);
  assert.equal(barks.length, 1);
});

test("a resting or disposed watchdog is silent and leaves no timer", async () => {
  const clock = new VirtualClock();
  using dog = new Watchdog<"x">(clock, () => assert.fail("barked"));
  dog.watch("x", 10);
  dog.rest();
  dog.touch();
  await clock.advance(20);
  assert.equal(clock.pending, 0);
  dog.watch("x", 10);
  dog[Symbol.dispose]();
  assert.equal(clock.pending, 0);
});
