import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeIsTooOld } from "./older-node.ts";

test("Node 24.12 is the oldest that runs the program itself", () => {
  for (const old of ["20.20.2", "22.21.0", "24.11.9"]) assert.ok(nodeIsTooOld(old), old);
  for (const fine of ["24.12.0", "24.21.0", "26.0.0"]) assert.ok(!nodeIsTooOld(fine), fine);
});
