import assert from "node:assert/strict";
import { test } from "node:test";
import { StoredTask } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { durationOf } from "../../wire/grpc/time.ts";
import type { PeerId, TaskId } from "../model/ids.ts";
import type { Inventory, RunningTask } from "./inventory.ts";
import { createProgress } from "./progress.ts";
import type { SourceReading } from "../model/types.ts";

const taskOf = (n: number): TaskId => String(n).padStart(64, "0") as TaskId;

/** A store in which task `n` has as many pieces as `held` says; `started` names those that are downloaded. */
function aHost(tasks: number) {
  const held = new Map<TaskId, number>(Array.from({ length: tasks }, (_, n) => [taskOf(n), 0]));
  const read = new Map<TaskId, SourceReading>();
  const running = new Map<TaskId, RunningTask>(
    [...held.keys()].map((task) => [task, { peerId: `peer-${task}` as PeerId, sourceReading: () => read.get(task) }]),
  );
  const inventory: Inventory = {
    list: () => [],
    find: (task) => StoredTask.fromPartial({ taskId: task, contentLength: 100, pieceLength: 10, finishedPieces: Uint8Array.of(1, 0) }),
    piecesOf: (task) => held.get(task),
    peerIdOf: (task) => running.get(task)?.peerId,
  };
  return { held, read, running, next: createProgress(inventory, running) };
}

test("a running download is told of when it has gained pieces, and not again before it gains more", () => {
  const { held, running, next } = aHost(2);
  assert.deepEqual(next(), []);
  held.set(taskOf(1), 3);
  const [told, ...others] = next();
  assert.deepEqual(others, []);
  assert.deepEqual([told?.taskId, told?.peerId, told?.contentLength], [taskOf(1), `peer-${taskOf(1)}`, 100]);
  assert.deepEqual(next(), []);
  held.set(taskOf(1), 4);
  running.delete(taskOf(1));
  assert.deepEqual(next(), []);
});

test("one that reads its source is told of when it has read more, whether or not a piece became whole", () => {
  const { read, next } = aHost(1);
  read.set(taskOf(0), { bytes: 700, elapsedMs: 1500, connections: 2 });
  const [told] = next();
  assert.deepEqual([told?.source?.bytes, told?.source?.elapsed, told?.source?.connections], [700, durationOf(1500), 2]);
  assert.deepEqual(next(), []);
  read.set(taskOf(0), { bytes: 701, elapsedMs: 2500, connections: 1 });
  assert.equal(next()[0]?.source?.bytes, 701);
});

test("of very many downloads each has its turn", () => {
  const { held, next } = aHost(150);
  const told = new Set<string>();
  for (let beat = 1; beat <= 3; beat++) {
    for (const task of held.keys()) held.set(task, beat);
    const progress = next();
    assert.ok(progress.length <= 64);
    for (const { taskId } of progress) told.add(taskId);
  }
  assert.equal(told.size, 150);
});
