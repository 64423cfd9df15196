import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "./errors.ts";
import { Semaphore } from "./limits.ts";

test("a released slot goes to the one who waited longest", async () => {
  const semaphore = new Semaphore({ slots: 1, waitingMax: 2 });
  const first = await semaphore.acquire();
  const order: string[] = [];
  const second = semaphore.acquire().then((lease) => (order.push("second"), lease));
  const third = semaphore.acquire().then((lease) => (order.push("third"), lease));
  assert.equal(semaphore.waiting, 2);
  first[Symbol.dispose]();
  assert.equal(semaphore.tryAcquire(), undefined, "the slot must not be free in between");
  (await second)[Symbol.dispose]();
  (await third)[Symbol.dispose]();
  assert.deepEqual(order, ["second", "third"]);
  assert.equal(semaphore.inFlight, 0);
});

test("a full line refuses, an aborted waiter leaves, a lease is released once", async () => {
  const semaphore = new Semaphore({ slots: 1, waitingMax: 1 });
  const held = await semaphore.acquire();
  const stop = new AbortController();
  const waiting = semaphore.acquire(stop.signal);
  await assert.rejects(semaphore.acquire(), (error) => error instanceof AnaxError && error.code === "limit.exceeded");
  stop.abort(new Error("gone"));
  await assert.rejects(waiting, /gone/);
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  assert.equal(semaphore.inFlight, 0);
  assert.ok(semaphore.tryAcquire());
  assert.equal(semaphore.tryAcquire(), undefined);
});
