import assert from "node:assert/strict";
import { test } from "node:test";
import { MeshConfig } from "../mesh/config.ts";
import { TransferConfig } from "../transfer/config.ts";
import { budgetBytesOf, DOWNLOAD_BYTES, fixedBytesOf } from "./amounts.ts";
import { MemoryConfig } from "./config.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const FIXED = fixedBytesOf({ mesh: MeshConfig.parse({}), transfer: TransferConfig.parse({}) });

test("what downloads may take is what the setting, the cgroup or the machine leaves them", () => {
  const rows = [
    ["0", { constrainedBytes: 0, totalBytes: 10 * GIB }, 8 * GIB - FIXED],
    ["0", { constrainedBytes: 5 * GIB, totalBytes: 10 * GIB }, 4 * GIB - FIXED],
    ["0", { constrainedBytes: 2 ** 63, totalBytes: 10 * GIB }, 8 * GIB - FIXED],
    ["1GiB", { constrainedBytes: 5 * GIB, totalBytes: 10 * GIB }, GIB - FIXED],
    ["1MiB", { constrainedBytes: 0, totalBytes: 10 * GIB }, DOWNLOAD_BYTES],
  ] as const;
  for (const [maxBytes, machine, budget] of rows)
    assert.equal(budgetBytesOf(MemoryConfig.parse({ maxBytes }), FIXED, machine), budget, JSON.stringify([maxBytes, machine]));
});

test("buffers for uploads count where there is no sendfile", () => {
  const without = fixedBytesOf({ mesh: MeshConfig.parse({}), transfer: TransferConfig.parse({ sendfile: false }) });
  assert.equal(without - FIXED, 32 * MIB);
});
