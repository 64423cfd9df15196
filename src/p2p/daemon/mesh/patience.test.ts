import assert from "node:assert/strict";
import { test } from "node:test";
import { Patience } from "./patience.ts";

const STALL_MS = 1000;
const LOOK_MS = 50;

/** Looks every 50 ms from `fromMs` to `toMs`; `comes`: somebody gives something all the time. */
function pass(patience: Patience, fromMs: number, toMs: number, comes = false): void {
  for (let ms = fromMs + LOOK_MS; ms <= toMs; ms += LOOK_MS) {
    patience.look(ms);
    if (comes) patience.came(patience.nowMs);
  }
}

const aPatience = (): Patience => new Patience(STALL_MS, LOOK_MS, 0);

test("while others give something, who is silent for a second has stalled; before its first byte for two", () => {
  const patience = aPatience();
  pass(patience, 0, 950, true);
  assert.equal(patience.exceededBy({ progressMs: 0, receivedBytes: 1 }, 0), undefined);
  pass(patience, 950, 1000, true);
  assert.equal(patience.exceededBy({ progressMs: 0, receivedBytes: 1 }, 0), STALL_MS);
  assert.equal(patience.exceededBy({ progressMs: 0, receivedBytes: 0 }, 0), undefined);
  pass(patience, 1000, 2000, true);
  assert.equal(patience.exceededBy({ progressMs: 0, receivedBytes: 0 }, 0), 2 * STALL_MS);
});

test("while nothing comes from anybody, it takes four times as long", () => {
  const patience = aPatience();
  pass(patience, 0, 3950);
  assert.equal(patience.exceededBy({ progressMs: 0, receivedBytes: 1 }, 0), undefined);
  pass(patience, 3950, 4000);
  assert.equal(patience.exceededBy({ progressMs: 0, receivedBytes: 1 }, 0), 4 * STALL_MS);
});

test("where pieces take long, so may the gaps between their blocks", () => {
  const patience = aPatience();
  pass(patience, 0, 2950, true);
  assert.equal(patience.exceededBy({ progressMs: 0, receivedBytes: 1 }, 6000), undefined);
  pass(patience, 2950, 3000, true);
  assert.equal(patience.exceededBy({ progressMs: 0, receivedBytes: 1 }, 6000), 3000);
});

test("time in which this host was held up is not counted: what came meanwhile is still to be read", () => {
  const patience = aPatience();
  pass(patience, 0, 500, true);
  patience.look(60_000);
  assert.equal(patience.nowMs, 600);
  assert.equal(patience.exceededBy({ progressMs: 500, receivedBytes: 1 }, 0), undefined);
});

test("news are news once", () => {
  const patience = aPatience();
  pass(patience, 0, 100);
  assert.deepEqual([patience.came(100), patience.came(100), patience.came(50)], [true, false, false]);
});
