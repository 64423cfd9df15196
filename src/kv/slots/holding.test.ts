import assert from "node:assert/strict";
import { test } from "node:test";
import { holdingText, holds, parseHolding, type Holding } from "./holding.ts";

const [CLUSTER, SHARD, OTHER] = ["c", "d", "e"].map((digit) => digit.repeat(40)) as [string, string, string];
const HOLDING: Holding = { cluster: CLUSTER, shard: SHARD, epoch: 7 };

test("slots are taken over by who was told that it has their keys: of this shard, up to the epoch of the move that brought them", () => {
  const rows: readonly (readonly [Holding | undefined, number | undefined, boolean])[] = [
    [undefined, undefined, false], // it has never had all of this shard, so that no mark says nothing
    [undefined, 1, false],
    [HOLDING, undefined, true],
    [HOLDING, 7, true],
    [HOLDING, 8, false],
    [{ ...HOLDING, epoch: 0 }, undefined, true],
    [{ ...HOLDING, epoch: 0 }, 1, false],
    [{ ...HOLDING, shard: OTHER }, undefined, false],
    [{ ...HOLDING, cluster: OTHER }, 1, false],
  ];
  for (const [holding, movedAt, has] of rows) {
    const range = { start: 0, end: 1, owner: OTHER, epoch: 9, by: "x", movedAt };
    assert.equal(holds(holding, { cluster: CLUSTER, shard: SHARD }, range), has, JSON.stringify([holding, movedAt]));
  }
});

test("what a set of data holds is read as it was written, and nothing else", () => {
  assert.deepEqual(parseHolding(holdingText(HOLDING)), HOLDING);
  for (const text of ["", `${CLUSTER} ${SHARD}`, `${CLUSTER} ${SHARD} -1`, `${CLUSTER} x 1`, `${CLUSTER} ${SHARD} 1 2`])
    assert.equal(parseHolding(text), undefined);
});
