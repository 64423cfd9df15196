import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { createRegistry, metricsOf } from "../../base/metrics.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { CommitQueue, type Recordable } from "./commit-queue.ts";
import type { Operation } from "./database.ts";
import { PIECES_METRICS } from "./metrics.ts";

interface Commit {
  readonly operations: readonly string[];
  readonly durable: boolean;
  readonly settle: PromiseWithResolvers<void>;
}

function aQueue() {
  const clock = new VirtualClock();
  const commits: Commit[] = [];
  const commit = (operations: readonly Operation[], durable: boolean): Promise<void> => {
    const settle = Promise.withResolvers<void>();
    commits.push({ operations: operations.map((operation) => `${operation.kind} ${idOf(operation)}`), durable, settle });
    return settle.promise;
  };
  const metrics = metricsOf(createRegistry({ runtime: false }), PIECES_METRICS);
  const queue = new CommitQueue({ commit, clock, log: silentLog, metrics, intervalMs: 100, piecesMax: 3 });
  return { clock, commits, queue };
}

const idOf = (operation: Operation): string => ("row" in operation ? operation.row.id : operation.id);

function aTarget(id: string): Recordable & { changes: Operation[] } {
  return {
    id,
    changes: [],
    takeChanges() {
      return this.changes.splice(0);
    },
    returnChanges(operations) {
      this.changes.push(...operations);
    },
  };
}

const touch = (id: string): Operation => ({ kind: "touch", id, accessedAtMs: 1, uploadedBytes: 0 });

test("changes gather for an interval and make one transaction", async () => {
  const { clock, commits, queue } = aQueue();
  const [a, b] = [aTarget("a"), aTarget("b")];
  for (const target of [a, b, a]) {
    target.changes.push(touch(target.id));
    queue.changed(target);
  }
  await clock.advance(99);
  assert.equal(commits.length, 0);
  await clock.advance(1);
  assert.deepEqual(commits[0]?.operations, ["touch a", "touch a", "touch b"]);
  assert.equal(commits[0].durable, false);
  commits[0].settle.resolve();
  await clock.advance(1000);
  assert.equal(commits.length, 1);
  assert.equal(clock.pending, 0);
});

test("enough pieces go at once, and the next ones when the first are through", async () => {
  const { clock, commits, queue } = aQueue();
  const target = aTarget("a");
  for (let i = 0; i < 7; i++) {
    target.changes.push(touch("a"));
    queue.changed(target, 1);
  }
  await clock.advance(0);
  assert.deepEqual(
    commits.map((each) => each.operations.length),
    [3],
  );
  commits[0]!.settle.resolve();
  await clock.advance(0);
  assert.deepEqual(
    commits.map((each) => each.operations.length),
    [3, 4],
  );
});

test("who waits for durability gets what was noted before, in a synced transaction", async () => {
  const { clock, commits, queue } = aQueue();
  const target = aTarget("a");
  queue.changed(target);
  let done = false;
  const waiting = queue.durable().then(() => (done = true));
  queue.deleted(aTarget("b"));
  const second = queue.durable(); // while the first runs: it needs one of its own
  await clock.advance(0);
  assert.deepEqual(
    commits.map((each) => each.durable),
    [true],
  );
  assert.equal(done, false);
  commits[0]!.settle.resolve();
  await waiting;
  await clock.advance(0);
  assert.deepEqual(
    commits.map((each) => each.operations),
    [[], ["delete b"]],
  );
  commits[1]!.settle.resolve();
  await second;
});

test("a task deleted and made anew is deleted first", async () => {
  const { clock, commits, queue } = aQueue();
  const [old, made] = [aTarget("a"), aTarget("a")];
  old.changes.push(touch("a"));
  queue.changed(old);
  queue.deleted(old);
  made.changes.push(touch("a"));
  queue.changed(made);
  await clock.advance(100);
  assert.deepEqual(commits[0]?.operations, ["delete a", "touch a"]);
});

test("what a failing disk did not take is tried again, slower, and waiters are told", async () => {
  const { clock, commits, queue } = aQueue();
  const [a, b] = [aTarget("a"), aTarget("b")];
  for (const target of [a, b]) {
    target.changes.push(touch(target.id));
    queue.changed(target);
  }
  queue.deleted(aTarget("c"));
  const waiting = assert.rejects(queue.durable(), { code: "disk.full" });
  await clock.advance(0);
  queue.deleted(b); // meanwhile: its changes must not come back
  commits[0]!.settle.reject(new AnaxError("disk.full"));
  await waiting;
  await clock.advance(1999);
  assert.equal(commits.length, 1);
  await clock.advance(1);
  assert.deepEqual(commits[1]?.operations, ["delete b", "delete c", "touch a"]);
});

test("closing commits the rest and takes nothing more", async () => {
  const { clock, commits, queue } = aQueue();
  queue.changed(aTarget("a"));
  const closing = queue.close();
  await clock.advance(0);
  commits[0]!.settle.resolve();
  await closing;
  await assert.rejects(queue.durable(), { code: "download.cancelled" });
  queue.changed(aTarget("b"));
  await clock.advance(1000);
  assert.equal(commits.length, 1);
  assert.equal(clock.pending, 0);
});
