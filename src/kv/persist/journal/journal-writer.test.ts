import assert from "node:assert/strict";
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { syncData } from "../../../disk/descriptor.ts";
import { temporaryDirectory } from "../../../../test/kit/temporary-directory.ts";
import { JournalWriter, type SyncPolicy } from "./journal-writer.ts";

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** A file and a writer for it, of a disk whose syncs end when the test says so. */
async function aWriter(policy: SyncPolicy) {
  const directory = await temporaryDirectory();
  const path = join(directory.path, "journal");
  const clock = new VirtualClock();
  const problems: (string | undefined)[] = [];
  const syncs: { readonly end: (failure?: Error) => void }[] = [];
  const writer = new JournalWriter({
    clock,
    fd: openSync(path, "w"),
    bytes: 0,
    appended: 1000,
    policy: () => policy,
    onState: (problem) => problems.push(problem),
    syncFile: (fd) =>
      new Promise<void>((resolve, reject) => {
        syncs.push({ end: (failure) => (failure === undefined ? resolve(syncData(fd)) : reject(failure)) });
      }),
  });
  return {
    writer,
    clock,
    problems,
    syncs,
    content: () => readFileSync(path, "latin1"),
    /** A client that appends this, or only reads, and whether its replies have to wait; `answered` then tells whether they still do. */
    client: (text: string) => {
      if (text !== "") writer.append(Buffer.from(text));
      const client = { journalOffset: text === "" ? 0 : writer.appended, answered: false };
      client.answered = !writer.mustWait(client);
      if (!client.answered) writer.wait(client, () => (client.answered = true));
      return client;
    },
    [Symbol.asyncDispose]: async () => {
      const closed = writer.close();
      while (!(await Promise.race([closed.then(() => true), new Promise<false>((resolve) => setImmediate(resolve, false))])))
        for (const { end } of syncs.splice(0)) end();
      await directory[Symbol.asyncDispose]();
    },
  };
}

for (const policy of ["everysec", "no"] as const)
  test(`with ${policy} a reply need not wait, as what it tells of is in the file by then`, async () => {
    await using it = await aWriter(policy);
    for (const [index, text] of ["a", "bc", "d"].entries()) {
      assert.ok(it.client(text).answered);
      assert.equal(it.content(), "abcd".slice(0, [1, 3, 4][index]));
    }
    assert.equal(it.writer.synced, policy === "no" ? 1004 : 1000);
  });

test("with always replies wait for the disk, all of a turn for one sync", async () => {
  await using it = await aWriter("always");
  const clients = ["a", "b", ""].map(it.client);
  assert.deepEqual(
    clients.map(({ answered }) => answered),
    [false, false, false],
    "one that only reads may have read it",
  );
  await until(() => it.syncs.length === 1);
  assert.equal(it.content(), "ab");
  it.syncs.shift()!.end();
  await until(() => clients.every(({ answered }) => answered));
  assert.ok(it.client("").answered);
  assert.deepEqual(it.syncs, []);
});

test("every second there is a sync, and what is written meanwhile waits for the write alone", async () => {
  await using it = await aWriter("everysec");
  it.client("a");
  it.writer.tick();
  assert.equal(it.syncs.length, 0);
  await it.clock.advance(1000);
  it.writer.tick();
  assert.equal(it.syncs.length, 1);
  const meanwhile = it.client("b");
  assert.ok(!meanwhile.answered, "a write during a sync might be a long one");
  await until(() => meanwhile.answered);
  assert.equal(it.content(), "ab");
  assert.equal(it.writer.synced, 1000);
  it.syncs.shift()!.end();
  await until(() => it.writer.synced === 1001);
  assert.ok(it.client("c").answered);
  await it.clock.advance(1000);
  it.writer.tick();
  it.syncs.shift()!.end();
  await until(() => it.writer.synced === 1003);
});

test("nobody is told of a write while one of more than two seconds ago is not on disk; those who only read are", async () => {
  await using it = await aWriter("everysec");
  it.client("a");
  for (const ms of [1000, 999]) {
    await it.clock.advance(ms);
    it.writer.tick();
  }
  const inTime = it.client("b");
  await until(() => inTime.answered);
  await it.clock.advance(1);
  it.writer.tick();
  const late = it.client("c");
  await until(() => it.writer.pendingBytes === 0);
  assert.ok(!late.answered);
  assert.ok(it.client("").answered);
  assert.equal(it.writer.lateCount, 1);
  it.syncs.shift()!.end();
  await until(() => it.writer.synced === 1001);
  assert.ok(!late.answered, "that sync may have begun before its write");
  it.writer.tick();
  await until(() => it.syncs.length === 1);
  it.syncs.shift()!.end();
  await until(() => late.answered);
});

test("after a sync that failed everything since the last good one is written again, and the problem told", async () => {
  await using it = await aWriter("everysec");
  it.client("a");
  await it.clock.advance(1000);
  it.writer.tick();
  it.syncs.shift()!.end(Object.assign(new Error("broken"), { code: "EIO" }));
  await until(() => it.problems.length === 1);
  assert.equal(it.problems[0], "EIO");
  const during = it.client("b");
  assert.ok(!during.answered);
  assert.ok(it.client("").answered, "who has written nothing is told how things are");
  await it.clock.advance(1000);
  await until(() => it.syncs.length === 1);
  it.syncs.shift()!.end();
  await until(() => it.problems.length === 2 && during.answered);
  assert.deepEqual([it.problems[1], it.content()], [undefined, "ab"]);
});

test("a change of the file waits for the sync of the old one", async () => {
  await using it = await aWriter("everysec");
  await using next = await temporaryDirectory();
  const path = join(next.path, "journal");
  it.client("a");
  await it.clock.advance(1000);
  it.writer.tick();
  it.writer.switchTo(openSync(path, "w"));
  const after = it.client("b");
  it.syncs.shift()!.end();
  await until(() => after.answered);
  assert.deepEqual([it.content(), readFileSync(path, "latin1")], ["a", "b"]);
});
