import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../src/base/random.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { faultRound } from "../store/replication-faults.ts";

for (const seed of [1, 2])
  test(`a replica never shows half of a snapshot, and has everything in the end, whatever fails in between (seed ${seed})`, async () => {
    await using directory = await temporaryDirectory();
    const { acknowledged, reads } = await faultRound({ directory: directory.path, random: createRandom(seed), faults: 4 });
    assert.ok(acknowledged > 0 && reads > 0, "there was load");
  });
