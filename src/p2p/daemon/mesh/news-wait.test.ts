import assert from "node:assert/strict";
import { test } from "node:test";
import { lazyNewsWaitMs, newsWaitMs } from "./news-wait.ts";

test("news wait for a part of what a piece takes, for a tick at least and ten at most", () => {
  assert.deepEqual(
    [0, 50, 400, 60_000].map((pieceMs) => newsWaitMs({ tickMs: 20, pieceMs })),
    [20, 20, 100, 200],
  );
});

test("news that change little never go before the others", () => {
  assert.deepEqual(
    [0, 400, 60_000].map((pieceMs) => lazyNewsWaitMs({ tickMs: 20, pieceMs })),
    [120, 120, 200],
  );
});
