import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { createBell, ring, type Bell } from "./bell.ts";
import { createRequestWait, type RequestWait } from "./request-wait.ts";

interface Waiting extends AsyncDisposable {
  readonly fd: number;
  readonly bell: Bell;
  readonly wait: RequestWait;
}

async function waiting(): Promise<Waiting> {
  await using scope = new AsyncDisposableStack();
  const path = join(scope.use(await temporaryDirectory()).path, "fifo");
  execFileSync("mkfifo", [path]);
  const fd = openSync(path, "r+");
  scope.defer(() => closeSync(fd));
  const bell = await createBell();
  assert.ok(bell !== undefined);
  scope.defer(() => closeSync(bell));
  const wait = await createRequestWait(fd, bell);
  assert.ok(wait !== undefined);
  const owned = scope.move();
  return { fd, bell, wait, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const WRITE = `
  const { workerData: { fd, bytes } } = require("node:worker_threads");
  require("node:fs").writeSync(fd, bytes);
`;
const byOther = (fd: number, bytes: Uint8Array): Worker => new Worker(WRITE, { eval: true, workerData: { fd, bytes } });

test("a busy wait ends when there is something to be read, and when nothing comes", async () => {
  await using one = await waiting();
  const { fd, wait } = one;
  assert.equal(wait.readable(100), false);
  writeSync(fd, "x");
  for (let tries = 0; !wait.readable(10_000); tries++) {
    assert.ok(tries < 1_000_000, "never readable"); // not tried while others work
    await new Promise((resolve) => setImmediate(resolve));
  }
  readSync(fd, Buffer.alloc(1));
  assert.equal(wait.readable(100), false);
});

test("a thread that sleeps wakes when there is something to be read, and when another thread rings", async () => {
  await using one = await waiting();
  const { fd, bell, wait } = one;
  byOther(fd, Buffer.from("x"));
  assert.equal(wait.sleep(), true);
  readSync(fd, Buffer.alloc(1));
  byOther(bell, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]));
  assert.equal(wait.sleep(), false);
});

test("who rings before the other sleeps is heard, once", async () => {
  await using one = await waiting();
  const { fd, bell, wait } = one;
  ring(bell);
  ring(bell);
  assert.equal(wait.sleep(), false);
  const later = wait.sleepLater();
  writeSync(fd, "x");
  assert.equal(await later, true);
  ring(bell);
  assert.equal(await wait.sleepLater(), true, "both");
  readSync(fd, Buffer.alloc(1));
  assert.throws(() => readSync(fd, Buffer.alloc(1)), { code: "EAGAIN" });
});
