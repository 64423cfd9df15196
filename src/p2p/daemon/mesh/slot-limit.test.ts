import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createRandom } from "../../../base/random.ts";
import { SlotLimit } from "./slot-limit.ts";

const SLOTS = 8;

interface World {
  /** What the uplink takes, in downlinks. */
  readonly up: number;
  /** Pieces that others want at once. */
  readonly wanted: number;
  readonly seconds?: number;
  readonly seed?: number;
  readonly limit?: SlotLimit;
}

/** A host among others that all receive eight pieces at once; what its link was seen to carry is measured with some noise. */
function after({ up, wanted, seconds = 300, seed = 1, limit = new SlotLimit(SLOTS) }: World): number {
  const random = createRandom(seed);
  const link = { upload: 0, download: 0 };
  for (let second = 0; second < seconds; second++) {
    if (wanted > limit.now) limit.refused();
    const noise = (): number => 0.9 + 0.1 * random.next();
    link.upload = Math.max(link.upload, Math.min(up, Math.min(wanted, limit.now) / SLOTS) * noise());
    link.download = Math.max(link.download, noise());
    limit.look(second * 1000, link);
  }
  return limit.now;
}

suite("the slots of a host follow its uplink", () => {
  const rows: readonly (readonly [string, World, readonly [number, number]])[] = [
    ["as quick as its downlink: as many as are fetched, and now and then one more", { up: 1, wanted: 100 }, [8, 9]],
    ["half as quick: half", { up: 0.5, wanted: 100 }, [4, 5]],
    ["twice as quick: twice", { up: 2, wanted: 100 }, [15, 17]],
    ["a hundred times as quick: four times as many and no more", { up: 100, wanted: 1000 }, [31, 32]],
    ["a hundredth: a quarter and no less, but for a trial", { up: 0.01, wanted: 100 }, [2, 3]],
    ["twice as quick, and nobody wants more: as before", { up: 2, wanted: 8 }, [8, 8]],
    ["slow, and nobody is refused: as before", { up: 0.1, wanted: 8 }, [8, 8]],
  ];
  for (const [title, world, [least, most]] of rows)
    test(title, () => {
      for (let seed = 1; seed <= 20; seed++) {
        const slots = after({ ...world, seed });
        assert.ok(slots >= least && slots <= most, `${slots} slots, seed ${seed}`);
      }
    });

  test("a quick one is found within half a minute", () => {
    assert.ok(after({ up: 2, wanted: 100, seconds: 30 }) >= 14);
  });

  test("trials become rare where they find nothing", () => {
    const limit = new SlotLimit(SLOTS);
    after({ up: 1, wanted: 100, limit });
    let trials = 0;
    for (let second = 300; second < 600; second++) {
      limit.refused();
      limit.look(second * 1000, { upload: 1, download: 1 });
      if (limit.now > SLOTS) trials++;
    }
    assert.ok(trials > 0 && trials <= 20, `${trials} seconds`);
  });

  test("a slow link that becomes quick gets its slots back", () => {
    const limit = new SlotLimit(SLOTS);
    assert.ok(after({ up: 0.25, wanted: 100, limit }) <= 3);
    let nowMs = 1e6;
    const link = { upload: 0.25, download: 1 };
    for (let n = 0; n < 600; n++) {
      limit.refused();
      link.upload = Math.max(link.upload, limit.now / SLOTS);
      limit.look((nowMs += 1000), link);
    }
    assert.ok(limit.now >= SLOTS, `${limit.now} slots`);
  });

  test("a host that has received nothing has nothing to compare with, and keeps what it was given", () => {
    const limit = new SlotLimit(SLOTS);
    for (let second = 0; second < 100; second++) {
      limit.refused();
      limit.look(second * 1000, { upload: 1e6, download: 0 });
    }
    assert.equal(limit.now, SLOTS);
  });
});
