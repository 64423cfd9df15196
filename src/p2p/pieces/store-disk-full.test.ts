import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { aSmallDisk } from "../../../test/kit/small-disk.ts";
import { realClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { PiecesConfig } from "./config.ts";
import { aContent, never, readAll, rejectsWith, storeAll, storePiece } from "./piece-store.conformance.ts";
import { openPieceStore } from "./store.ts";

const MIB = 1024 * 1024;
const openIn = (dir: string, config: object = {}) =>
  openPieceStore({ dir, config: PiecesConfig.parse(config), clock: realClock, log: silentLog });

test("on a small disk, idle content makes room, and what is larger than the disk is refused at once", async (t) => {
  await using disk = await aSmallDisk(t, { bytes: 8 * MIB });
  if (disk === undefined) return;
  await using store = await openIn(disk.dir);
  const [one, two] = [1, 2].map((seed) => aContent({ seed, bytes: 4 * MIB, pieceBytes: MIB }));
  for (const content of [one!, two!]) {
    const task = await store.open(content.meta);
    await storeAll(task, content);
    await task.finish(never());
  }
  assert.deepEqual(
    store.list().map((task) => task.meta.id),
    [two!.meta.id],
  );
  const huge = { ...one!.meta, contentLength: 9 * MIB, pieceCount: 9 };
  await assert.rejects(store.open(huge), (error: { code: string; details: Record<string, unknown> }) => {
    assert.equal(error.code, "disk.full");
    assert.equal(error.details["neededBytes"], 9 * MIB);
    return true;
  });
  assert.equal(store.list().length, 1); // nothing was deleted for what could not fit
});

test("a disk that others fill during a download fails the piece, and the download can go on when there is room", async (t) => {
  await using disk = await aSmallDisk(t, { bytes: 8 * MIB });
  if (disk === undefined) return;
  const content = aContent({ bytes: 4 * MIB, pieceBytes: MIB });
  const filler = join(disk.dir, "filler");
  {
    await using store = await openIn(disk.dir);
    const task = await store.open(content.meta);
    await storePiece(task, content, 0);
    await assert.rejects(writeFile(filler, Buffer.alloc(8 * MIB)), { code: "ENOSPC" });
    await rejectsWith(storeAll(task, content), "disk.full");
    await writeFile(filler, "");
    await storeAll(task, content);
    await task.finish(never());
    assert.ok((await readAll(task)).equals(content.bytes));
  }
  await using store = await openIn(disk.dir);
  assert.equal(store.find(content.meta.id)?.state, "finished");
});

test("a disk without any room at the start says so", async (t) => {
  await using disk = await aSmallDisk(t, { bytes: MIB });
  if (disk === undefined) return;
  await assert.rejects(writeFile(join(disk.dir, "filler"), Buffer.alloc(2 * MIB)), { code: "ENOSPC" });
  await rejectsWith(openIn(disk.dir), "disk.full");
});
