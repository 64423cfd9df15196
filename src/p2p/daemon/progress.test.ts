import assert from "node:assert/strict";
import { test } from "node:test";
import { StoredTask } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import type { PeerId, TaskId } from "../model/ids.ts";
import type { Inventory } from "./inventory.ts";
import { createProgress } from "./progress.ts";

const taskOf = (n: number): TaskId => String(n).padStart(64, "0") as TaskId;

/** A store in which task `n` has as many pieces as `held` says; `started` names those that are downloaded. */
function aHost(tasks: number) {
  const held = new Map<TaskId, number>(Array.from({ length: tasks }, (_, n) => [taskOf(n), 0]));
  const running = new Map<TaskId, PeerId>([...held.keys()].map((task) => [task, `peer-${task}` as PeerId]));
  const inventory: Inventory = {
    list: () => [],
    find: (task) => StoredTask.fromPartial({ taskId: task, contentLength: 100, pieceLength: 10, finishedPieces: Uint8Array.of(1, 0) }),
    piecesOf: (task) => held.get(task),
    peerIdOf: (task) => running.get(task),
  };
  return { held, running, next: createProgress(inventory, running) };
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
