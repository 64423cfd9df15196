import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { AnaxError } from "../../base/errors.ts";
import {
  encodeClose,
  encodeDownloadPiece,
  encodeError,
  encodePieceContentHead,
  HEADER_BYTES,
  PIECE_KINDS,
  VORTEX_ERRORS,
  type PieceMetadata,
} from "./codec.ts";
import { createRequestParser, type VortexRequest } from "./request-parser.ts";
import { createResponseHeadParser, type ResponseHead } from "./response-parser.ts";

const TASK_ID = "5844f27a257287e9b734256bb25603d8005422ced8c0377f15063ec11963b25f";
const METADATA: PieceMetadata = {
  number: 7,
  offset: 29_360_128,
  length: 4_194_304,
  digest: "crc32:3421780262",
  parentId: "10.0.0.7-host-1-0b7e8b9a-5a26-4f7e-8d0c-9c2b1f6d3a55",
  trafficType: 1,
  costSeconds: 2,
  createdAtSeconds: 1_754_000_000,
};

/** What crate vortex-protocol 0.1.5 writes for the same values; only the id byte, random there, is ours. */
const DOWNLOAD = Buffer.from(`fe0000000044${Buffer.from(TASK_ID).toString("hex")}00000007`, "hex");
const CONTENT = Buffer.from(
  "600100000075" +
    "00000071000000070000000001c0000000000000004000000000001063726333323a333432313738303236320000003431302e302e302e372d686f73742d312d" +
    "30623765386239612d356132362d346637652d386430632d39633262316636643361353501000000000000000200000000688bea80",
  "hex",
);
const ERROR = Buffer.from("05ff0000000e026e6f2073756368207069656365", "hex");
const CLOSE = Buffer.from("09fe00000000", "hex");

const REQUEST: VortexRequest = { type: "download", kind: "standard", id: 0xfe, taskId: TASK_ID, pieceNumber: 7 };
const CONTENT_HEAD: ResponseHead = { type: "content", kind: "standard", id: 0x60, ...METADATA };
const RESPONSES: readonly (readonly [Buffer, ResponseHead])[] = [
  [CONTENT, CONTENT_HEAD],
  [ERROR, { type: "error", id: 5, code: 2, message: "no such piece" }],
  [CLOSE, { type: "close", id: 9 }],
];

/** Fixed, so that a failure is the same tomorrow. */
const SEED = 41;

const isMalformed = (error: unknown): boolean => error instanceof AnaxError && error.code === "vortex.malformed";

test("packets are written byte for byte as upstream writes them", () => {
  assert.deepEqual(encodeDownloadPiece({ kind: "standard", id: 0xfe, taskId: TASK_ID, pieceNumber: 7 }), DOWNLOAD);
  assert.deepEqual(encodePieceContentHead({ kind: "standard", id: 0x60, ...METADATA }), CONTENT);
  assert.deepEqual(encodeError({ id: 5, code: VORTEX_ERRORS.notFound, message: "no such piece" }), ERROR);
  assert.deepEqual(encodeClose(9), CLOSE);
});

test("every kind of piece has its pair of tags", () => {
  for (const [index, kind] of PIECE_KINDS.entries()) {
    assert.equal(encodeDownloadPiece({ kind, id: 0, taskId: TASK_ID, pieceNumber: 0 })[1], index * 2);
    assert.equal(encodePieceContentHead({ kind, id: 0, ...METADATA })[1], index * 2 + 1);
  }
});

test("requests are read wherever the bytes are cut", () => {
  const stream = Buffer.concat([DOWNLOAD, DOWNLOAD, CLOSE]);
  const all = [REQUEST, REQUEST, { type: "close", id: 9 }];
  for (let cut = 0; cut <= stream.length; cut++) {
    const parser = createRequestParser();
    assert.deepEqual([...parser.feed(stream.subarray(0, cut)), ...parser.feed(stream.subarray(cut))], all);
  }
  const parser = createRequestParser();
  assert.deepEqual(Array.from(stream, (byte) => parser.feed(Uint8Array.of(byte))).flat(), all);
  assert.deepEqual(parser.feed(DOWNLOAD), [], "nothing is read after close");
});

test("response heads are read wherever the bytes are cut, and the piece behind them is left alone", () => {
  const piece = Buffer.alloc(9000, 0xff);
  for (const [packet, head] of RESPONSES) {
    const stream = Buffer.concat([packet, piece]);
    for (let cut = 0; cut <= packet.length; cut++) {
      const parser = createResponseHeadParser();
      const early = parser.feed(stream.subarray(0, cut));
      const parsed = early ?? parser.feed(stream.subarray(cut));
      assert.deepEqual(parsed, { head, consumedBytes: early ? packet.length : packet.length - cut });
      assert.deepEqual(parser.feed(packet), { head, consumedBytes: packet.length }, "the parser is ready for the next head");
    }
  }
});

test("a wrong request is refused as soon as its header shows it, and for good", () => {
  const headers = [
    "000000000043",
    "000000000045",
    "0000ffffffff",
    "000100000044",
    "000800000044",
    "00fe00000001",
    "00ff00000001",
    "00fd00000000",
  ];
  for (const header of headers) {
    const parser = createRequestParser();
    assert.throws(() => parser.feed(Buffer.from(header, "hex")), isMalformed, header);
    assert.throws(() => parser.feed(DOWNLOAD), isMalformed);
  }
  for (const digit of ["G", "A", "/", "\n", "\u00ff"]) {
    const packet = Buffer.from(DOWNLOAD);
    packet.write(digit, HEADER_BYTES + 63, "latin1");
    assert.throws(() => createRequestParser().feed(packet), isMalformed, digit);
  }
});

test("a wrong response is refused", () => {
  const at = HEADER_BYTES;
  const edits: readonly (readonly [string, (packet: Buffer) => unknown])[] = [
    ["request tag", (packet) => packet.writeUInt8(0, 1)],
    ["unknown tag", (packet) => packet.writeUInt8(9, 1)],
    ["header too short", (packet) => packet.writeUInt32BE(48, 2)],
    ["header too long", (packet) => packet.writeUInt32BE(4101, 2)],
    ["metadata shorter", (packet) => packet.writeUInt32BE(112, at)],
    ["metadata longer", (packet) => packet.writeUInt32BE(0xffff_ffff, at)],
    ["digest longer", (packet) => packet.writeUInt32BE(17, at + 24)],
    ["digest far too long", (packet) => packet.writeUInt32BE(0xffff_ffff, at + 24)],
    ["parent id shorter", (packet) => packet.writeUInt32BE(51, at + 44)],
    ["parent id far too long", (packet) => packet.writeUInt32BE(0xffff_ffff, at + 44)],
    ["offset beyond 2^53", (packet) => packet.writeUInt8(0x80, at + 8)],
    ["length beyond 2^53", (packet) => packet.writeUInt8(0x20, at + 17)],
    ["digest not UTF-8", (packet) => packet.writeUInt8(0xff, at + 28)],
    ["created far before time", (packet) => packet.writeUInt8(0x80, packet.length - 8)],
  ];
  for (const [name, edit] of edits) {
    const packet = Buffer.from(CONTENT);
    edit(packet);
    assert.throws(() => createResponseHeadParser().feed(packet), isMalformed, name);
  }
  assert.throws(() => createResponseHeadParser().feed(Buffer.from("00ff00000000", "hex")), isMalformed, "an error without a code");
});

test("the longest texts pass and longer ones do not", () => {
  const longest = { ...METADATA, digest: "d".repeat(256), parentId: "p".repeat(1024) };
  const packet = encodePieceContentHead({ kind: "cache", id: 1, ...longest });
  assert.deepEqual(createResponseHeadParser().feed(packet)?.head, { type: "content", kind: "cache", id: 1, ...longest });
  const long = encodeError({ id: 1, code: 0, message: `${"e".repeat(4095)}ü` });
  assert.equal(long.length, HEADER_BYTES + 1 + 4095, "no half character");
  assert.deepEqual(createResponseHeadParser().feed(long)?.head, { type: "error", id: 1, code: 0, message: "e".repeat(4095) });
});

test("what is written is read again", () => {
  const metadata = fc.record({
    number: fc.nat(0xffff_ffff),
    offset: fc.maxSafeNat(),
    length: fc.maxSafeNat(),
    digest: fc.string({ unit: "binary", maxLength: 64 }),
    parentId: fc.string({ unit: "binary", maxLength: 256 }),
    trafficType: fc.nat(255),
    costSeconds: fc.maxSafeNat(),
    createdAtSeconds: fc.maxSafeInteger(),
  });
  fc.assert(
    fc.property(fc.constantFrom(...PIECE_KINDS), fc.nat(255), metadata, (kind, id, fields) => {
      const packet = encodePieceContentHead({ kind, id, ...fields });
      assert.deepEqual(createResponseHeadParser().feed(packet), {
        head: { type: "content", kind, id, ...fields },
        consumedBytes: packet.length,
      });
    }),
    { seed: SEED },
  );
});

test("no bytes, in no portions, bring anything but requests, heads or vortex.malformed", () => {
  /** Random bytes rarely get past a header, so half of the portions are real packets with a byte changed. */
  const damaged = fc
    .tuple(fc.constantFrom(DOWNLOAD, CONTENT, ERROR, CLOSE), fc.nat(130), fc.nat(255))
    .map(([packet, at, byte]) => packet.map((old, index) => (index === at ? byte : old)));
  const portions = fc.array(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged), { maxLength: 8 });
  fc.assert(
    fc.property(portions, (chunks) => {
      feedAll(createRequestParser(), chunks);
      const responses = createResponseHeadParser();
      feedAll({ feed: (chunk) => feedHeads(responses, chunk) }, chunks);
    }),
    { numRuns: 2000, seed: SEED },
  );
});

function feedAll(parser: { feed(chunk: Uint8Array): unknown }, chunks: readonly Uint8Array[]): void {
  try {
    for (const chunk of chunks) parser.feed(chunk);
  } catch (error) {
    assert.ok(isMalformed(error), String(error));
  }
}

/** Reads head after head as a client of short pieces would; each takes at least a byte, so this ends. */
function feedHeads(parser: ReturnType<typeof createResponseHeadParser>, chunk: Uint8Array): void {
  for (let rest = chunk; rest.length > 0;) {
    const parsed = parser.feed(rest);
    if (parsed === undefined) return;
    assert.ok(parsed.consumedBytes > 0 && parsed.consumedBytes <= rest.length);
    rest = rest.subarray(parsed.consumedBytes);
  }
}
