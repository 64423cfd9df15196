import assert from "node:assert/strict";
import { test } from "node:test";
import { takeTurn } from "./turn.ts";

const name = `\0anax-turn-test-${process.pid}`;

test("the second waits until the first is done", async () => {
  const signal = new AbortController().signal;
  const first = await takeTurn({ name, signal, onWait() {} });
  const waits = Promise.withResolvers<void>();
  const second = takeTurn({ name, signal, onWait: waits.resolve });
  await waits.promise;
  await first[Symbol.asyncDispose]();
  await (await second)[Symbol.asyncDispose]();
});

test("who stops wanting it stops waiting", async () => {
  await using _held = await takeTurn({ name, signal: new AbortController().signal, onWait() {} });
  const stop = new AbortController();
  await assert.rejects(takeTurn({ name, signal: stop.signal, onWait: () => stop.abort() }), { name: "AbortError" });
});
