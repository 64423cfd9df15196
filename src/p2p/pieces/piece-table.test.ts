import assert from "node:assert/strict";
import { test } from "node:test";
import { PieceTable, RECORD_BYTES, SEGMENT_RECORDS } from "./piece-table.ts";

const LAYOUT = { contentLength: 25, pieceLength: 10, pieceCount: 3 };
const FACTS = { crc32: 0xdeadbeef, traffic: "remote-peer", parentId: "10.0.0.1-host-uuid", createdAtMs: 1500 } as const;
const aTable = (layout = LAYOUT): PieceTable => new PieceTable({ layout, createdAtMs: 1000 });

test("a record is twelve bytes as documented", () => {
  const table = aTable();
  assert.deepEqual(table.add(1, FACTS), { newParent: true });
  assert.equal(Buffer.from(table.segmentBytes(0)).toString("hex"), `${"00".repeat(12)}02000100efbeaddef4010000${"00".repeat(12)}`);
  assert.deepEqual(table.add(2, { ...FACTS, traffic: "back-to-source" }), { newParent: false });
  assert.deepEqual(table.parents, [FACTS.parentId]);
});

test("what was recorded is read back, and held only once it is known to be right", () => {
  const table = aTable();
  table.add(0, FACTS);
  table.add(2, { ...FACTS, parentId: "", traffic: "local-peer" });
  const again = new PieceTable({ layout: LAYOUT, createdAtMs: 1000, parents: table.parents });
  assert.ok(again.loadSegment(0, table.segmentBytes(0)));
  assert.ok(again.isRecorded(0) && !again.held.has(0));
  assert.equal(again.info(0), undefined);
  again.hold(0);
  assert.equal(again.heldBytes, 10);
  again.holdRecorded();
  assert.deepEqual(again.info(0), { index: 0, offsetBytes: 0, lengthBytes: 10, ...FACTS });
  assert.deepEqual(again.info(2), { index: 2, offsetBytes: 20, lengthBytes: 5, ...FACTS, parentId: "", traffic: "local-peer" });
  assert.deepEqual(again.bytesFrom(), { "back-to-source": 0, "remote-peer": 10, "local-peer": 5 });
  assert.equal(again.heldBytes, 15);
});

test("a dropped piece leaves no trace", () => {
  const table = aTable();
  for (const index of [0, 1, 2]) table.add(index, FACTS);
  table.drop(1);
  assert.deepEqual(
    [0, 1, 2].map((index) => table.held.has(index)),
    [true, false, true],
  );
  assert.equal(table.isRecorded(1), false);
  assert.equal(table.heldBytes, 15);
  table.dropAll();
  assert.equal(table.held.count + table.heldBytes, 0);
  assert.ok(table.segmentBytes(0).every((byte) => byte === 0));
});

test("records that make no sense are refused", () => {
  const table = aTable();
  const good = new Uint8Array(3 * RECORD_BYTES);
  assert.ok(!table.loadSegment(1, good));
  assert.ok(!table.loadSegment(0, good.subarray(1)));
  assert.ok(
    !table.loadSegment(
      0,
      Uint8Array.from(good, (_, i) => (i === 0 ? 4 : 0)),
    ),
  );
  assert.ok(
    !table.loadSegment(
      0,
      Uint8Array.from(good, (_, i) => (i === 1 ? 1 : 0)),
    ),
  );
  assert.ok(table.loadSegment(0, good));
});

test("a long task is recorded in segments", () => {
  const pieceCount = SEGMENT_RECORDS + 1;
  const table = aTable({ contentLength: pieceCount, pieceLength: 1, pieceCount });
  table.add(pieceCount - 1, FACTS);
  assert.equal(table.segmentCount, 2);
  assert.equal(PieceTable.segmentOf(pieceCount - 1), 1);
  assert.equal(table.segmentBytes(1).length, RECORD_BYTES);
});

test("times outside of what a record can say are brought to its ends", () => {
  const table = aTable();
  table.add(0, { ...FACTS, createdAtMs: 500 });
  table.add(1, { ...FACTS, createdAtMs: 1000 + 2 ** 40 });
  assert.equal(table.info(0)?.createdAtMs, 1000);
  assert.equal(table.info(1)?.createdAtMs, 1000 + 0xffff_ffff);
});
