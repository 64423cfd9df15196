import assert from "node:assert/strict";
import { chmod, open } from "node:fs/promises";
import { test } from "node:test";
import { anEmptyTask, meshContent } from "../../../../test/kit/mesh.ts";
import { storeAll } from "../../pieces/piece-store.conformance.ts";
import type { StoredTask } from "../../pieces/types.ts";
import { Doubts } from "./doubts.ts";

async function aDoubtedTask(scope: AsyncDisposableStack): Promise<StoredTask> {
  const content = meshContent();
  const stored = await anEmptyTask(scope, content);
  await storeAll(stored, content);
  return stored;
}

async function alter({ path, meta }: StoredTask, piece: number): Promise<void> {
  await chmod(path, 0o600);
  await using file = await open(path, "r+");
  await file.write("altered", piece * meta.pieceLength);
}

test("a piece that is complained of is read again, and dropped when it is damaged", async () => {
  await using scope = new AsyncDisposableStack();
  const stored = await aDoubtedTask(scope);
  await alter(stored, 2);
  let work = Promise.resolve();
  const from = { falseAlarms: 0 };
  new Doubts((running) => void (work = running)).hear(stored, [2, 99], from);
  await work;
  assert.deepEqual([stored.finished.has(2), stored.finished.count, from.falseAlarms], [false, 3, 0]);
});

test("complaints of what is in order drop nothing, and after a few of them nothing is read any more", async () => {
  await using scope = new AsyncDisposableStack();
  const stored = await aDoubtedTask(scope);
  let work = Promise.resolve();
  let runs = 0;
  const doubts = new Doubts((running) => {
    runs++;
    work = running;
  });
  const from = { falseAlarms: 0 };
  for (let i = 0; i < 10; i++) {
    doubts.hear(stored, [0, 1, 2, 3], from);
    await work;
  }
  assert.deepEqual([stored.finished.full, from.falseAlarms, runs], [true, 4, 1]);
});
