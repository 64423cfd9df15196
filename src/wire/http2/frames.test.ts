import assert from "node:assert/strict";
import { test } from "node:test";
import {
  contentOf,
  createFrameParser,
  decodeNumber,
  decodeSettings,
  decodeUint31,
  encodeFrame,
  encodeNumber,
  encodeSettings,
  FLAG,
  FRAME,
} from "./frames.ts";

const FRAMES = [
  { type: FRAME.settings, flags: 0, streamId: 0, payload: Buffer.of(0, 4, 0, 16, 0, 0) },
  { type: FRAME.headers, flags: FLAG.endHeaders, streamId: 1, payload: Buffer.from("block") },
  { type: FRAME.data, flags: FLAG.endStream, streamId: 2 ** 31 - 1, payload: Buffer.alloc(16_384, "x") },
  { type: FRAME.ping, flags: FLAG.ack, streamId: 0, payload: Buffer.alloc(8) },
  { type: FRAME.data, flags: 0, streamId: 3, payload: Buffer.alloc(0) },
];
const BYTES = Buffer.concat(FRAMES.map(encodeFrame));

test("frames are read wherever their bytes are cut", () => {
  const cuts = [...Array(40).keys(), ...Array.from({ length: 40 }, (_, i) => BYTES.length - 1 - i), 8000];
  for (const cut of cuts) {
    const parser = createFrameParser();
    const frames = [BYTES.subarray(0, cut), BYTES.subarray(cut)].flatMap((part) => parser.feed(part));
    assert.deepEqual(
      frames.map((frame) => ({ ...frame, payload: Buffer.from(frame.payload) })),
      FRAMES,
    );
  }
  const parser = createFrameParser();
  assert.equal([...BYTES].flatMap((byte) => parser.feed(Buffer.of(byte))).length, FRAMES.length);
});

test("a frame longer than was allowed is refused before it is there", () => {
  assert.throws(() => createFrameParser().feed(Buffer.of(0, 64, 1, 0, 0, 0, 0, 0, 1)), { code: "rpc.internal" });
});

function contentIn(type: number, flags: number, bytes: readonly number[]): readonly number[] {
  return [...contentOf({ type, flags, streamId: 1, payload: Buffer.from(bytes) })];
}

test("padding and priority are no content", () => {
  assert.deepEqual(contentIn(FRAME.data, 0, [1, 2]), [1, 2]);
  assert.deepEqual(contentIn(FRAME.data, FLAG.padded, [2, 9, 0, 0]), [9]);
  assert.deepEqual(contentIn(FRAME.data, FLAG.padded, [0, 9]), [9]);
  assert.deepEqual(contentIn(FRAME.headers, FLAG.padded | FLAG.priority, [1, 0, 0, 0, 0, 7, 42, 0]), [42]);
  assert.throws(() => contentIn(FRAME.data, FLAG.padded, [3, 9, 0]), { code: "rpc.internal" });
  assert.throws(() => contentIn(FRAME.headers, FLAG.priority, [1]), { code: "rpc.internal" });
});

test("settings and numbers are read as they were written, and refused when they are cut", () => {
  const [settings] = createFrameParser().feed(
    encodeSettings([
      [1, 0],
      [4, 1_048_576],
    ]),
  );
  assert.deepEqual(
    [...decodeSettings(settings!.payload)],
    [
      [1, 0],
      [4, 1_048_576],
    ],
  ); // one frame was written
  assert.throws(() => decodeSettings(Buffer.alloc(5)), { code: "rpc.internal" });
  const [number] = createFrameParser().feed(encodeNumber(FRAME.windowUpdate, 5, 2 ** 31 - 1));
  assert.equal(decodeNumber(number!), 2 ** 31 - 1); // likewise
  const reserved = encodeNumber(FRAME.windowUpdate, 5, 2 ** 31 + 7).subarray(9);
  assert.equal(decodeUint31({ type: FRAME.windowUpdate, payload: reserved }), 7);
  assert.throws(() => decodeNumber({ type: FRAME.reset, payload: Buffer.alloc(3) }), { code: "rpc.internal" });
});
