import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, fdatasyncSync, openSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { loadStreamedWrites } from "./streamed-writes.ts";

const TMPFS = 0x0102_1994;

test("what the disk has is given up in memory", async (t) => {
  await using dir = await temporaryDirectory();
  if (statfsSync(dir.path).type === TMPFS) return t.skip("there is no disk below");
  const streamed = await loadStreamedWrites();
  assert.ok(streamed !== undefined);
  const path = join(dir.path, "file");
  const cachedBytes = (): number => Number(execFileSync("fincore", ["-nbo", "RES", path]));
  const fd = openSync(path, "w+");
  try {
    writeSync(fd, Buffer.alloc(1 << 20, 7));
    assert.equal(cachedBytes(), 1 << 20);
    streamed.begin(fd);
    fdatasyncSync(fd);
    streamed.drop(fd);
    assert.equal(cachedBytes(), 0);
  } finally {
    closeSync(fd);
  }
});
