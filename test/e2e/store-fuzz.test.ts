import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "../store/fuzz/fuzz.ts";
import { TARGETS } from "../store/fuzz/target.ts";

for (const target of TARGETS)
  test(`hostile input to ${target}: the same cases each time`, async () => {
    assert.equal(await fuzz({ target, seed: 20_261_126, casesMax: 200, timeMs: 240_000 }), 200);
  });
