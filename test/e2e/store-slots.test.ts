import assert from "node:assert/strict";
import { test } from "node:test";
import { chaosRound } from "../chaos/round.ts";

// A few rounds of `npm run test:chaos`, each with its own faults.

for (const seed of [1, 2])
  test(`slots move while clients write, nodes are killed and links fail: seed ${seed}`, async () => {
    const { violations, answered } = await chaosRound(seed, { ms: 5000, verbose: false });
    assert.deepEqual(violations, []);
    assert.ok(answered > 0);
  });
