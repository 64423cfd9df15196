import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { PieceLog } from "./piece-log.ts";
import type { DownloadedPiece } from "./types.ts";

const aPiece = (index: number): DownloadedPiece => ({
  index,
  offsetBytes: index,
  lengthBytes: 1,
  crc32: 0,
  traffic: "remote-peer",
  parentId: "",
});

test("a reader that waits hears of pieces together, and of the end at once", async () => {
  const clock = new VirtualClock();
  const log = new PieceLog(clock);
  const heard: (number | "end")[] = [];
  log.add(aPiece(0));
  const reading = (async () => {
    for await (const { index } of log.read(new AbortController().signal)) heard.push(index);
    heard.push("end");
  })();
  await clock.advance(0);
  assert.deepEqual(heard, [0], "what is there needs no waiting");
  log.add(aPiece(1));
  await clock.advance(60);
  log.add(aPiece(2));
  assert.deepEqual(heard, [0]);
  await clock.advance(60);
  assert.deepEqual(heard, [0, 1, 2]);
  log.add(aPiece(3));
  log.end();
  await reading;
  assert.deepEqual(heard, [0, 1, 2, 3, "end"]);
});
