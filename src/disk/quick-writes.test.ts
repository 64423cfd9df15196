import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { AnaxError } from "../base/errors.ts";
import { QuickWrites } from "./quick-writes.ts";

for (const [what, stepMs] of [
  ["on a quick disk", 0],
  ["on a disk that makes its writers wait", 50],
] as const)
  test(`all bytes are where they belong, ${what}`, async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "file");
    const fd = openSync(path, "w");
    let nowMs = 0;
    const writes = new QuickWrites({ nowMs: () => (nowMs += stepMs) });
    try {
      for (const position of [2, 0, 1]) await writes.write(fd, Buffer.alloc(70_000, 65 + position), position * 70_000);
      await writes.write(fd, Buffer.alloc(2 * 1024 * 1024, 68), 210_000);
      const expected = [70_000, 70_000, 70_000, 2 * 1024 * 1024].map((bytes, i) => Buffer.alloc(bytes, 65 + i));
      assert.ok(readFileSync(path).equals(Buffer.concat(expected)));
    } finally {
      closeSync(fd);
    }
  });

test("without waiting, all is written until a write has taken long, and then nothing for a while", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "file");
  const fd = openSync(path, "w");
  let nowMs = 0;
  let stepMs = 0;
  const writes = new QuickWrites({ nowMs: () => (nowMs += stepMs) });
  try {
    assert.equal(writes.writeSome(fd, Buffer.alloc(5, 65), 0), 5);
    assert.equal(writes.writeSome(fd, Buffer.alloc(2 * 1024 * 1024), 5), 0, "it would keep others waiting");
    stepMs = 500;
    assert.equal(writes.writeSome(fd, Buffer.alloc(5, 66), 5), 5);
    stepMs = 0;
    assert.equal(writes.writeSome(fd, Buffer.alloc(5, 67), 10), 0);
    nowMs += 5000;
    assert.equal(writes.writeSome(fd, Buffer.alloc(5, 68), 10), 5);
    assert.equal(readFileSync(path, "latin1"), "AAAAABBBBBDDDDD");
  } finally {
    closeSync(fd);
  }
});

test("a write that takes long now and then stops the next ones shortly, one after the other for longer and longer", async () => {
  await using directory = await temporaryDirectory();
  const fd = openSync(join(directory.path, "file"), "w");
  let nowMs = 0;
  let stepMs = 0;
  const writes = new QuickWrites({ nowMs: () => (nowMs += stepMs) });
  const isWritten = (): boolean => writes.writeSome(fd, Buffer.alloc(5), 0) === 5;
  /** Milliseconds after a slow write until the next one is tried. */
  const pauseAfterSlow = (): number => {
    stepMs = 50;
    assert.ok(isWritten());
    stepMs = 0;
    const fromMs = nowMs;
    while (!isWritten()) nowMs += 10;
    return nowMs - fromMs;
  };
  try {
    const busy = [1, 2, 3].map(() => ((nowMs += 10_000), pauseAfterSlow()));
    assert.deepEqual(busy, [80, 80, 80]);
    const disk = Array.from({ length: 8 }, pauseAfterSlow);
    assert.deepEqual(disk, [160, 320, 640, 1280, 2560, 5120, 5120, 5120]);
    nowMs += 100_000;
    assert.equal(pauseAfterSlow(), 2560, "it is forgiven step by step");
  } finally {
    closeSync(fd);
  }
});

test("a write that fails slowly is a slow one, too: the next ones are not waited for right here", async () => {
  await using directory = await temporaryDirectory();
  const [full, fd] = [openSync("/dev/full", "w"), openSync(join(directory.path, "file"), "w")];
  let nowMs = 0;
  let looks = 0;
  const writes = new QuickWrites({ nowMs: () => (looks++, (nowMs += 50)) });
  try {
    await assert.rejects(writes.write(full, Buffer.alloc(10), 0), { code: "disk.full" });
    looks = 0;
    await writes.write(fd, Buffer.alloc(10), 0);
    assert.equal(looks, 1, "nobody looks how long the thread pool takes");
  } finally {
    closeSync(full);
    closeSync(fd);
  }
});

test("a full disk is reported as such, at once and from the thread pool", async () => {
  const fd = openSync("/dev/full", "w");
  try {
    for (const stepMs of [0, 50]) {
      let nowMs = 0;
      const writes = new QuickWrites({ nowMs: () => (nowMs += stepMs) });
      for (let i = 0; i < 2; i++)
        await assert.rejects(writes.write(fd, Buffer.alloc(10), 0), (error) => error instanceof AnaxError && error.code === "disk.full");
    }
  } finally {
    closeSync(fd);
  }
});
