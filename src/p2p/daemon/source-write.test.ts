import assert from "node:assert/strict";
import { test } from "node:test";
import { aDownload, startTestDaemon } from "../../../test/kit/daemon.ts";
import { startOrigin } from "../../../test/kit/origin.ts";

const KIB = 1024;
const CONTENT = { bytes: 3 * 1024 * KIB, seed: 17 };
const PIECE_BYTES = 256 * KIB; // what content of this size is cut into

test("a piece is there as soon as all of it has been read, whatever comes after", async () => {
  const faults = { "/file": { stallAfterBytes: PIECE_BYTES + 1 } };
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults });
  await using alone = await startTestDaemon({ name: "alone" });
  using running = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  const pieces = running.pieces(AbortSignal.timeout(10_000))[Symbol.asyncIterator]();
  const { value } = await pieces.next();
  assert.deepEqual([value?.index, value?.lengthBytes], [0, PIECE_BYTES]);
});
