import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AnaxError } from "../../../base/errors.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { aBlob } from "../blob-store.conformance.ts";
import { BlobReader } from "./blob-reader.ts";
import { ReadCounts } from "./read-counts.ts";

const content = Buffer.alloc(300 * 1024, 7);
const blob = aBlob(1, content);
const { signal } = new AbortController();

/** What one of the two does: after so long it gives the content, or fails; never does nothing. */
type Way = { readonly afterMs: number; readonly fails?: true; readonly begunMs?: number } | "never";

interface Asked {
  readonly times: { peers: number; store: number };
  /** Of those that were let go. */
  readonly ended: { peers: number; store: number };
}

function aReader(peers: () => Way, store: () => Way) {
  const clock = new VirtualClock();
  const counts = new ReadCounts();
  const asked: Asked = { times: { peers: 0, store: 0 }, ended: { peers: 0, store: 0 } };
  const go = async (who: "peers" | "store", way: Way, stop: AbortSignal, onBegun: () => void): Promise<Buffer> => {
    asked.times[who]++;
    try {
      if (way !== "never" && way.begunMs !== undefined) {
        await clock.sleep(way.begunMs, stop);
        onBegun();
      }
      await clock.sleep(way === "never" ? 1e9 : way.afterMs - (way.begunMs ?? 0), stop);
    } catch (thrown) {
      asked.ended[who]++;
      throw thrown;
    }
    if (way !== "never" && way.fails === true) throw new AnaxError(who === "peers" ? "rpc.unavailable" : "volume.unreachable");
    return content;
  };
  const reader = new BlobReader({
    clock,
    counts,
    waitMs: 500,
    store: (_, stop) => go("store", store(), stop, () => undefined),
    peers: async (_, stop, onBegun) => ({ content: await go("peers", peers(), stop, onBegun), storeBytes: 0 }),
  });
  return { clock, counts, asked, reader };
}

/** The milliseconds that reading takes. */
async function timeOf(clock: VirtualClock, reading: Promise<unknown>, mostMs = 20_000): Promise<number> {
  const startedMs = clock.nowMs();
  const seen: { doneMs?: number } = {};
  void reading.then(
    () => (seen.doneMs = clock.nowMs()),
    () => (seen.doneMs = clock.nowMs()),
  );
  for (let ms = 0; ms < mostMs && seen.doneMs === undefined; ms += 50) await clock.advance(50);
  return (seen.doneMs ?? Number.POSITIVE_INFINITY) - startedMs;
}

describe("a blob is read", () => {
  test("from peers alone while they are in time, and the store is not asked", async () => {
    const { clock, counts, asked, reader } = aReader(
      () => ({ begunMs: 100, afterMs: 1500 }),
      () => ({ afterMs: 50 }),
    );
    for (let round = 0; round < 20; round++) {
      const reading = reader.content(blob, signal);
      assert.ok((await timeOf(clock, reading)) <= 1500);
      assert.deepEqual(await reading, content);
    }
    assert.equal(asked.times.store, 0);
    assert.equal(counts.values.peerBytes, 20 * content.length);
  });

  test("from the store at once where peers fail, and soon without asking them", async () => {
    const { clock, asked, reader } = aReader(
      () => ({ afterMs: 0, fails: true }),
      () => ({ afterMs: 50 }),
    );
    for (let round = 0; round < 10; round++) {
      const reading = reader.content(blob, signal);
      assert.ok((await timeOf(clock, reading)) <= 100);
      assert.deepEqual(await reading, content);
    }
    assert.equal(asked.times.peers, 3);
    assert.match(reader.resting()?.reason ?? "", /rpc\.unavailable/);
    await clock.advance(6000);
    await timeOf(clock, reader.content(blob, signal));
    assert.equal(asked.times.peers, 4, "they get another chance");
  });

  test("from the store besides where peers do not begin in half a second, and who lost is let go", async () => {
    const { clock, counts, asked, reader } = aReader(
      () => "never",
      () => ({ afterMs: 50 }),
    );
    const reading = reader.content(blob, signal);
    assert.equal(await timeOf(clock, reading), 550);
    assert.deepEqual(await reading, content);
    assert.deepEqual([asked.ended.peers, counts.values.hedges, counts.values.hedgesWon], [1, 1, 1]);
  });

  test("from whoever is first once both are asked", async () => {
    const { clock, counts, asked, reader } = aReader(
      () => ({ afterMs: 700 }),
      () => "never",
    );
    assert.equal(await timeOf(clock, reader.content(blob, signal)), 700);
    assert.deepEqual([asked.ended.store, counts.values.hedges, counts.values.hedgesWon], [1, 1, 0]);
  });

  test("of many that wait for a daemon that is stuck, few ask the store first, and all do once those show that it is", async () => {
    const { clock, asked, reader } = aReader(
      () => "never",
      () => ({ afterMs: 50 }),
    );
    const readings = Promise.all(Array.from({ length: 40 }, () => reader.content(blob, signal)));
    await clock.advance(520);
    assert.equal(asked.times.store, 3);
    assert.ok((await timeOf(clock, readings)) <= 200);
    assert.equal(asked.times.store, 40);
  });

  test("of many that wait while peers are only slow, few ask the store", async () => {
    const { clock, asked, reader } = aReader(
      () => ({ begunMs: 1500, afterMs: 1900 }),
      () => ({ afterMs: 3000 }),
    );
    await timeOf(clock, Promise.all(Array.from({ length: 40 }, () => reader.content(blob, signal))));
    assert.equal(asked.times.store, 3);
    await timeOf(clock, Promise.all(Array.from({ length: 40 }, () => reader.content(blob, signal))));
    assert.equal(asked.times.store, 3, "what is usual is not late");
  });

  test("from peers where the store does not answer, and its failure is told where they fail, too", async () => {
    let peersFail = false;
    const { clock, reader } = aReader(
      () => (peersFail ? { afterMs: 900, fails: true } : { afterMs: 900 }),
      () => ({ afterMs: 10, fails: true }),
    );
    const reading = reader.content(blob, signal);
    await timeOf(clock, reading);
    assert.deepEqual(await reading, content);
    peersFail = true;
    const failing = reader.content(blob, signal);
    await timeOf(clock, failing);
    await assert.rejects(failing, { code: "volume.unreachable" });
  });

  test("from the store alone where it is small, or nobody else is to be asked", async () => {
    const { clock, asked, reader } = aReader(
      () => ({ afterMs: 10 }),
      () => ({ afterMs: 10 }),
    );
    await timeOf(clock, reader.content(aBlob(2, content.subarray(0, 1000)), signal));
    assert.deepEqual(asked.times, { peers: 0, store: 1 });
  });

  test("for nobody once it is not wanted any more", async () => {
    const { asked, reader } = aReader(
      () => "never",
      () => "never",
    );
    const stop = new AbortController();
    const reading = reader.content(blob, stop.signal);
    await Promise.resolve();
    stop.abort(new Error("let go"));
    await assert.rejects(reading, /let go/);
    assert.equal(asked.ended.peers, 1);
    assert.equal(asked.times.store, 0);
  });
});
