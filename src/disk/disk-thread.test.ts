import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, fstatSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { DISK_ERRANDS } from "./disk-errands.ts";
import { DiskThread } from "./disk-thread.ts";
import { sealTogether, type Seal } from "./seal-together.ts";

const { make, keep, read, link } = DISK_ERRANDS;
const MODE = 0o644;
const isMissing = (place: number): boolean => place % 7 === 3;

const seal = async (one: Seal): Promise<unknown[]> => [...(await sealTogether([one], undefined)).values()];

/** Errands that close nothing, until they go to the thread. */
async function busy(thread: DiskThread): Promise<void> {
  while (thread.tryRun("close", { fds: [] }) === undefined) await setImmediate();
}

test("a file is made with its directory, once, and nobody writes to it after it is sealed", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "new", "file");
  const fd = make({ path, lengthBytes: 5, mode: MODE });
  assert.equal(fstatSync(fd).size, 5);
  assert.deepEqual(await seal({ path, fd, mode: 0o444 }), []);
  closeSync(fd);
  assert.equal(statSync(path).mode & 0o777, 0o444);
  assert.throws(() => make({ path, lengthBytes: 1, mode: MODE }), { code: "EEXIST" });
  link({ from: path, to: `${path}-2` });
  assert.throws(() => link({ from: path, to: `${path}-2` }), { code: "EEXIST" });
  assert.deepEqual([statSync(path).size, statSync(path).nlink], [5, 2]);
});

test("a file is kept with its content, once, and sealed without being open", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "new", "file");
  const bytes = Buffer.from("content");
  keep({ path, bytes, mode: MODE });
  assert.throws(() => keep({ path, bytes: Buffer.from("other"), mode: MODE }), { code: "EEXIST" });
  assert.equal(readFileSync(path, "utf8"), "content");
  assert.deepEqual(await seal({ path, fd: undefined, mode: undefined }), []);
  assert.equal(statSync(path).mode & 0o777, MODE);
  assert.deepEqual(await seal({ path, fd: undefined, mode: 0o444 }), []);
  assert.equal(statSync(path).mode & 0o777, 0o444);
});

test("nothing is left of a file that cannot have its length", async () => {
  await using directory = await temporaryDirectory();
  assert.throws(() => make({ path: join(directory.path, "file"), lengthBytes: 0.5, mode: MODE }));
  assert.deepEqual(readdirSync(directory.path), []);
});

test("only small regular files that really lie below are read", async () => {
  await using directory = await temporaryDirectory();
  await using elsewhere = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const below = [directory.path];
  writeFileSync(at("small"), "1234");
  writeFileSync(join(elsewhere.path, "secret"), "1234");
  symlinkSync(join(elsewhere.path, "secret"), at("out"));
  symlinkSync(at("small"), at("in"));
  execFileSync("mkfifo", [at("pipe")]);
  for (const name of ["small", "in"]) {
    const file = read({ path: at(name), below, bytesMax: 4 });
    assert.equal(Buffer.from(file!.bytes).toString(), "1234");
    assert.equal(file!.mtimeMs, statSync(at("small")).mtimeMs);
  }
  for (const name of ["out", "pipe", "."]) assert.equal(read({ path: at(name), below, bytesMax: 4 }), undefined, name);
  assert.equal(read({ path: at("small"), below, bytesMax: 3 }), undefined);
  assert.throws(() => read({ path: at("none"), below, bytesMax: 4 }), { code: "ENOENT" });
});

test("a few errands are no work for a thread, many are, and each has its own answer", async () => {
  await using directory = await temporaryDirectory();
  const clock = new VirtualClock();
  await using thread = new DiskThread(clock);
  for (let second = 0; second < 10; second++) {
    for (let errand = 0; errand < 20; errand++) assert.equal(thread.tryRun("close", { fds: [] }), undefined);
    await clock.advance(1000);
  }
  await busy(thread);
  const path = join(directory.path, "file");
  const order = { path, lengthBytes: 3, mode: MODE };
  const [first, second] = await Promise.allSettled([thread.tryRun("make", order), thread.tryRun("make", order)]);
  assert.equal(first.status === "fulfilled" && fstatSync(first.value!).size, 3);
  const { code, syscall } = (second as PromiseRejectedResult).reason;
  assert.deepEqual([code, syscall], ["EEXIST", "open"]);
  await thread.tryRun("close", { fds: [first.status === "fulfilled" ? first.value! : -1] });
  assert.throws(() => fstatSync((first as PromiseFulfilledResult<number>).value), { code: "EBADF" });
});

test("files that wait to be made durable are taken together, and each has its own answer", async () => {
  await using directory = await temporaryDirectory();
  await using thread = new DiskThread(new VirtualClock());
  await busy(thread);
  const at = (place: number): string => join(directory.path, `file-${place}`);
  const places = Array.from({ length: 300 }, (_, place) => place);
  for (const place of places) if (!isMissing(place)) writeFileSync(at(place), "content");
  const sealed = await Promise.allSettled(
    places.map(async (place) => {
      const sealing = thread.tryRun("seal", { path: at(place), fd: undefined, mode: 0o444 });
      if (place % 50 === 9 && !isMissing(place)) await thread.tryRun("link", { from: at(place), to: `${at(place)}-2` });
      return sealing;
    }),
  );
  for (const [place, { status }] of sealed.entries()) {
    assert.equal(status, isMissing(place) ? "rejected" : "fulfilled", `file ${place}`);
    if (!isMissing(place)) assert.equal(statSync(at(place)).mode & 0o777, 0o444);
  }
});

test("what was asked for is done before it is disposed of, and nothing afterwards", async () => {
  await using directory = await temporaryDirectory();
  const thread = new DiskThread(new VirtualClock());
  await busy(thread);
  const order = (place: number) => ({ path: join(directory.path, `file-${place}`), lengthBytes: 3, mode: MODE });
  const made = Promise.all(Array.from({ length: 300 }, async (_, place) => thread.tryRun("make", order(place)))); // more than go at once
  await thread[Symbol.asyncDispose]();
  for (const fd of await made) closeSync(fd!);
  assert.equal(readdirSync(directory.path).length, 300);
  assert.equal(thread.tryRun("close", { fds: [] }), undefined);
});

test("a thread without work ends, and comes back with the work", async () => {
  const clock = new VirtualClock();
  await using thread = new DiskThread(clock);
  await busy(thread);
  await thread.tryRun("close", { fds: [] });
  await clock.advance(60_000);
  assert.equal(thread.tryRun("close", { fds: [] }), undefined);
  await busy(thread);
});

test("a disk that is slow is left to the thread pool for a while", async () => {
  const clock = new VirtualClock();
  await using thread = new DiskThread(clock, -1); // everything takes longer
  await busy(thread);
  const close = (): Promise<undefined> | undefined => thread.tryRun("close", { fds: [] });
  await Promise.all(Array.from({ length: 128 }, async () => close()));
  assert.equal(close(), undefined);
  await clock.advance(5000);
  await close();
});
