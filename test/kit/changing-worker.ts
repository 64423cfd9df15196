import assert from "node:assert/strict";
import { parentPort, workerData } from "node:worker_threads";
import { failed, ROOT_INO, type NewNode } from "../../src/volume/meta/verbs.ts";
import { openVolume } from "../../src/volume/lifecycle/open-volume.ts";

export interface ChangingStart {
  readonly dataDir: string;
  readonly volumeUuid: string;
  readonly sessionId: number;
  /** Not zero: that is enough. */
  readonly stop: Int32Array;
}

// A client that never rests, for tests: a file goes from name to name, and each new one has a second name before the one before it loses both. So whatever is seen as
// of one moment has at most one of the former, and at most one file with a single name.

const FILE: NewNode = { kind: "file", permissions: 0o640, uid: 5, gid: 6 };
const KEPT = 6;
const { dataDir, volumeUuid, sessionId, stop } = workerData as ChangingStart; // given by the test
await using open = await openVolume({ dataDir, volumeUuid, sessionId });
const { verbs, files } = open;
assert.ok(!failed(await verbs.create(ROOT_INO, "at-0", FILE)));
for (let round = 0; Atomics.load(stop, 0) === 0; round++) {
  assert.equal(await verbs.rename(ROOT_INO, `at-${round}`, ROOT_INO, `at-${round + 1}`, 0), 0);
  const made = await verbs.create(ROOT_INO, `first-${round}`, FILE);
  assert.ok(!failed(made));
  assert.ok(!failed(await verbs.link(made.ino, ROOT_INO, `second-${round}`)));
  if (round % 4 === 0) {
    assert.equal(await files.write(made.ino, 0, Buffer.alloc(10_000, round)), 0);
    assert.equal(await files.fsync(made.ino), 0);
  }
  if (round >= KEPT)
    for (const name of [`first-${round - KEPT}`, `second-${round - KEPT}`]) assert.equal(await verbs.unlink(ROOT_INO, name), 0);
  await verbs.settle(false);
  if (round === KEPT) parentPort?.postMessage("busy", []);
}
