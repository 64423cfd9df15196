import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { createBusyWait } from "./busy-wait.ts";

test("a busy wait ends when there is something to be read, and when nothing comes", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "fifo");
  execFileSync("mkfifo", [path]);
  const fd = openSync(path, "r+");
  try {
    const busyWait = await createBusyWait(fd);
    assert.ok(busyWait !== undefined);
    assert.equal(busyWait.readable(100), false);
    writeSync(fd, "x");
    for (let tries = 0; !busyWait.readable(10_000); tries++) assert.ok(tries < 1_000_000, "never readable"); // not tried while others work
    readSync(fd, Buffer.alloc(1));
    assert.equal(busyWait.readable(100), false);
  } finally {
    closeSync(fd);
  }
});
