import assert from "node:assert/strict";
import { test } from "node:test";
import { BufferPool } from "./buffer-pool.ts";
import { AnaxError } from "./errors.ts";

const never = new AbortController().signal;

test("a returned buffer is lent again instead of a new one", () => {
  const pool = new BufferPool({ bufferBytes: 16, count: 2, waitingMax: 1 });
  const first = pool.tryTake()!;
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(pool.inUse, 0);
  const [again, other] = [pool.tryTake()!, pool.tryTake()!];
  assert.equal(again.bytes, first.bytes);
  assert.notEqual(other.bytes, first.bytes);
  assert.equal(pool.tryTake(), undefined);
});

test("waiters are served in order, a full line refuses, an aborted one leaves", async () => {
  const pool = new BufferPool({ bufferBytes: 16, count: 1, waitingMax: 2 });
  const held = await pool.take(never);
  const leaving = new AbortController();
  const quitter = pool.take(leaving.signal);
  const next = pool.take(never);
  await assert.rejects(pool.take(never), (error) => error instanceof AnaxError && error.code === "limit.exceeded");
  assert.equal(pool.waiting, 2);
  leaving.abort(new Error("no more"));
  await assert.rejects(quitter, /no more/);
  held[Symbol.dispose]();
  using got = await next;
  assert.equal(got.bytes, held.bytes);
  assert.equal(pool.inUse, 1);
});
