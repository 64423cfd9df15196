import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { LinkSlots } from "./link-slots.ts";

const { signal } = new AbortController();

/** A link that carries so many bytes a second for all that is on it, and the longest time that any of the last transfers took. */
async function carry(bytesPerSecond: number, count: number): Promise<{ readonly busiest: number; readonly lastMs: number }> {
  const clock = new VirtualClock();
  const slots = new LinkSlots({ most: 8, waitingMax: 100, clock });
  const moving = new Set<{ left: number; readonly done: () => void }>();
  const seen = { busiest: 0, finished: 0, lastMs: 0 };
  for (let index = 0; index < count; index++)
    void slots.run(signal, async () => {
      const startedMs = clock.nowMs();
      const { promise, resolve } = Promise.withResolvers<void>();
      moving.add({ left: 4_000_000, done: resolve });
      seen.busiest = Math.max(seen.busiest, moving.size);
      await promise;
      seen.finished++;
      seen.lastMs = clock.nowMs() - startedMs;
    });
  for (let turns = 0; seen.finished < count; turns++) {
    assert.ok(turns < 100_000, "it goes on");
    await clock.advance(20);
    for (const each of moving) {
      each.left -= (bytesPerSecond * 0.02) / moving.size;
      if (each.left > 0) continue;
      moving.delete(each);
      each.done();
    }
  }
  return seen;
}

test("a quick link carries as many at once as may be", async () => {
  assert.equal((await carry(100_000_000, 60)).busiest, 8);
});

test("a slow one carries few, so that something is done every few seconds", async () => {
  const { busiest, lastMs } = await carry(800_000, 20);
  assert.equal(busiest, 2);
  assert.ok(lastMs <= 5100, `one took ${lastMs} ms`);
});

test("what fails gives its slot back, and what nobody wants any more waits for none", async () => {
  const slots = new LinkSlots({ most: 1, waitingMax: 10, clock: new VirtualClock() });
  await assert.rejects(
    slots.run(signal, () => Promise.reject(new Error("no"))),
    /no/,
  );
  const held = slots.run(signal, () => new Promise(() => undefined));
  void held;
  const stop = new AbortController();
  const waiting = slots.run(stop.signal, async () => 1);
  stop.abort(new Error("let go"));
  await assert.rejects(waiting, /let go/);
});
