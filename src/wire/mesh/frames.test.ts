import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as fc from "fast-check";
import { hasCode } from "../../../test/kit/errors.ts";
import {
  decodeEnd,
  decodeFrameHeader,
  decodeGreeting,
  decodeNews,
  decodePieceStart,
  decodeRequest,
  encodeRunHead,
  encodeCancel,
  encodeEnd,
  encodeGreeting,
  encodeNews,
  encodePieceStart,
  encodeRequest,
  ENDS,
  FRAME_HEADER_BYTES,
  FRAMES,
  GREETING_BYTES_MAX,
  isGreeting,
  SMALL_PAYLOAD_BYTES_MAX,
  type BlockRequest,
  type PieceStart,
} from "./frames.ts";

const TASK_ID = "5844f27a257287e9b734256bb25603d8005422ced8c0377f15063ec11963b25f";
const isMalformed = hasCode("vortex.malformed");
/** Fixed, so that a failure is the same tomorrow. */
const SEED = 43;

/** The header and the payload behind it. */
function read(frame: Buffer): { readonly header: ReturnType<typeof decodeFrameHeader>; readonly payload: Buffer } {
  const header = decodeFrameHeader(frame);
  const payload = frame.subarray(FRAME_HEADER_BYTES);
  assert.equal(payload.length, header.lengthBytes);
  return { header, payload };
}

const readRequest = (frame: Buffer): BlockRequest => {
  const { header, payload } = read(frame);
  return decodeRequest(header, payload);
};

const readPieceStart = (frame: Buffer): PieceStart => {
  const { header, payload } = read(frame);
  return decodePieceStart(header, payload);
};

function aProof(blocks: number): NonNullable<PieceStart["proof"]> {
  return { key: Buffer.alloc(32, 1), signature: Buffer.alloc(64, 2), hashes: Buffer.alloc(32 * blocks, 3) };
}

suite("frames are written byte for byte as the format says", () => {
  const rows: readonly (readonly [string, Buffer, string])[] = [
    ["greeting", encodeGreeting("host-1"), "00a000000014" + Buffer.from("anax-blocks/2\nhost-1").toString("hex")],
    ["request", encodeRequest({ stream: 0x102, taskId: TASK_ID, piece: 7, orAnother: false }), `0100010200000024${TASK_ID}00000007`],
    ["request, or another", encodeRequest({ stream: 1, taskId: TASK_ID, piece: 7, orAnother: true }), `0101000100000024${TASK_ID}00000007`],
    ["cancel", encodeCancel(0xfffe), "0200fffe00000000"],
    [
      "piece without a proof",
      encodePieceStart({ stream: 3, piece: 9, lengthBytes: 0x10000, blockBytes: 0x1000, crc32: 0xfedcba98, proof: undefined }),
      "1000000300000010000000090001000000001000fedcba98",
    ],
    [
      "piece with a proof",
      encodePieceStart({ stream: 3, piece: 9, lengthBytes: 2, blockBytes: 1, crc32: 1, proof: aProof(2) }),
      "10000003000000b000000009000000020000000100000001" + "01".repeat(32) + "02".repeat(64) + "03".repeat(64),
    ],
    ["news", encodeNews({ taskId: "ab".repeat(32), update: Buffer.from("0803", "hex") }), "0300000000000022" + "ab".repeat(32) + "0803"],
    ["run", encodeRunHead(4, 0x40000), "1100000400040000"],
    ["end", encodeEnd(4, "gone"), "120000040000000104"],
  ];
  for (const [name, frame, hex] of rows) test(name, () => assert.equal(frame.toString("hex"), hex));
});

const fixed = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes));

test("what is written reads back the same", () => {
  const plain = { noNullPrototype: true };
  const stream = fc.integer({ min: 0, max: 0xffff });
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const taskId = fixed(32).map((bytes) => bytes.toString("hex"));
  fc.assert(
    fc.property(fc.record({ stream, taskId, piece: u32, orAnother: fc.boolean() }, plain), (request) => {
      assert.deepEqual(readRequest(encodeRequest(request)), request);
    }),
    { seed: SEED },
  );
  fc.assert(
    fc.property(fc.record({ taskId, update: fc.nat(500).chain(fixed) }, plain), (news) => {
      assert.deepEqual(decodeNews(read(encodeNews(news)).payload), news);
    }),
    { seed: SEED },
  );
  const blocks = fc.integer({ min: 1, max: 40 });
  const blockBytes = fc.integer({ min: 1, max: 1 << 20 });
  const proof = fc.option(fc.record({ key: fixed(32), signature: fixed(64), filling: fixed(1) }, plain), { nil: undefined });
  const start = fc
    .record({ stream, piece: u32, crc32: u32, blocks, blockBytes, lacking: fc.nat(), proof }, plain)
    .map(({ blocks: count, lacking, proof: by, ...rest }) => ({
      ...rest,
      lengthBytes: count * rest.blockBytes - (lacking % rest.blockBytes),
      proof: by === undefined ? undefined : { key: by.key, signature: by.signature, hashes: Buffer.alloc(32 * count, by.filling) },
    }));
  fc.assert(
    fc.property(start, (value) => assert.deepEqual(readPieceStart(encodePieceStart(value)), value)),
    { seed: SEED },
  );
  for (const end of ENDS) assert.equal(decodeEnd(read(encodeEnd(1, end)).payload), end);
});

test("a reason that a newer peer invents reads as failed", () => {
  assert.equal(decodeEnd(Buffer.from([ENDS.length])), "failed");
  assert.equal(decodeEnd(Buffer.from([255])), "failed");
});

test("what was decoded of a piece does not change with the buffer that it came in", () => {
  const frame = encodePieceStart({ stream: 0, piece: 0, lengthBytes: 1, blockBytes: 1, crc32: 0, proof: aProof(1) });
  const start = readPieceStart(frame);
  frame.fill(0xff);
  assert.deepEqual(start.proof, aProof(1));
});

suite("a greeting", () => {
  const greeting = encodeGreeting("10.0.0.7-host-1");

  test("is known by its first two bytes, which no packet of Vortex begins with", () => {
    assert.ok(isGreeting(greeting.subarray(0, 2)));
    for (let tag = 0; tag < 256; tag++) assert.equal(isGreeting(Buffer.from([0, tag])), tag === 160);
    assert.ok(!isGreeting(Buffer.from([1, 160])));
    assert.ok(!isGreeting(greeting.subarray(0, 1)));
  });

  test("is read wherever the bytes are cut, and what follows it is left alone", () => {
    for (let cut = 0; cut < greeting.length; cut++) assert.equal(decodeGreeting(greeting.subarray(0, cut)), undefined, `cut at ${cut}`);
    const more = Buffer.concat([greeting, encodeCancel(1)]);
    assert.deepEqual(decodeGreeting(more), { hostId: "10.0.0.7-host-1", consumedBytes: greeting.length });
  });

  test("has a name of at most 1024 bytes, and may have none", () => {
    const longest = encodeGreeting("n".repeat(1024));
    assert.equal(longest.length, GREETING_BYTES_MAX);
    assert.equal(decodeGreeting(longest)?.hostId.length, 1024);
    assert.equal(decodeGreeting(encodeGreeting(""))?.hostId, "");
    assert.throws(() => encodeGreeting("n".repeat(1025)));
  });

  const withLength = (lengthBytes: number): Buffer => {
    const copy = Buffer.from(greeting);
    copy.writeUInt32BE(lengthBytes, 2);
    return copy;
  };
  const rows: readonly (readonly [string, Buffer])[] = [
    ["too long by one", withLength(13 + 1 + 1024 + 1)],
    ["of 4 GiB", withLength(0xffff_ffff)],
    ["shorter than the name of the protocol", withLength(13)],
    ["of another version", Buffer.from(greeting.toString("latin1").replace("/2\n", "/1\n"), "latin1")],
    ["with another tag", Buffer.concat([Buffer.from([0, 161]), greeting.subarray(2)])],
    ["that is one of Vortex", Buffer.from("fe0000000044", "hex")],
  ];
  for (const [name, bytes] of rows) test(`is refused ${name}`, () => assert.throws(() => decodeGreeting(bytes), isMalformed));
});

function headOf(type: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32BE(lengthBytes, 4);
  return bytes;
}

suite("a header names a length that its kind can have, before anything is allocated for it:", () => {
  const rows: readonly (readonly [keyof typeof FRAMES, readonly number[], readonly number[]])[] = [
    ["request", [36], [0, 35, 37, 0xffff_ffff]],
    ["cancel", [0], [1, 0xffff_ffff]],
    ["news", [32, SMALL_PAYLOAD_BYTES_MAX], [0, 31, SMALL_PAYLOAD_BYTES_MAX + 1, 0xffff_ffff]],
    ["piece", [16, SMALL_PAYLOAD_BYTES_MAX], [0, 15, SMALL_PAYLOAD_BYTES_MAX + 1, 0xffff_ffff]],
    ["run", [1, 0xffff_ffff], [0]],
    ["end", [1], [0, 2, 0xffff_ffff]],
  ];
  for (const [type, right, wrong] of rows) {
    test(type, () => {
      for (const lengthBytes of right)
        assert.deepEqual(decodeFrameHeader(headOf(FRAMES[type], lengthBytes)), { type, flags: 0, stream: 0, lengthBytes });
      for (const lengthBytes of wrong)
        assert.throws(() => decodeFrameHeader(headOf(FRAMES[type], lengthBytes)), isMalformed, `${lengthBytes}`);
    });
  }

  test("no other kind", () => {
    const known = new Set<number>(Object.values(FRAMES));
    for (let type = 0; type < 256; type++) {
      if (known.has(type)) continue;
      for (const lengthBytes of [0, 1, 16, 36]) assert.throws(() => decodeFrameHeader(headOf(type, lengthBytes)), isMalformed);
    }
  });
});

suite("a piece is refused", () => {
  const right = { stream: 0, piece: 0, lengthBytes: 10, blockBytes: 4, crc32: 0, proof: aProof(3) };
  const rows: readonly (readonly [string, Partial<PieceStart>])[] = [
    ["with a hash too few", { proof: aProof(2) }],
    ["with a hash too many", { proof: aProof(4) }],
    ["with no hashes", { proof: aProof(0) }],
    ["with half a hash", { proof: { ...aProof(3), hashes: Buffer.alloc(80) } }],
    ["without bytes", { lengthBytes: 0, proof: undefined }],
    ["in blocks without bytes", { blockBytes: 0, proof: undefined }],
    ["that needs more hashes than a frame has", { lengthBytes: 0xffff_ffff, blockBytes: 1 }],
  ];
  for (const [name, wrong] of rows)
    test(name, () => assert.throws(() => readPieceStart(encodePieceStart({ ...right, ...wrong })), isMalformed));

  test("with part of a key and signature", () => {
    const bare = encodePieceStart({ ...right, proof: undefined });
    for (const extra of [1, 32, 95, 96]) {
      const payload = Buffer.concat([bare.subarray(FRAME_HEADER_BYTES), Buffer.alloc(extra)]);
      const head = decodeFrameHeader(headOf(FRAMES.piece, payload.length));
      assert.throws(() => decodePieceStart(head, payload), isMalformed, `${extra} bytes`);
    }
  });
});

test("whatever comes, it is read or refused as malformed, and never read beyond its end", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: FRAME_HEADER_BYTES, maxLength: 300 }),
      fc.constantFrom(...Object.values(FRAMES)),
      (bytes, type) => {
        const frame = Buffer.from(bytes);
        frame.writeUInt8(type, 0);
        frame.writeUInt32BE(frame.length - FRAME_HEADER_BYTES, 4);
        try {
          const { header: head, payload } = read(frame);
          if (head.type === "request") assert.match(decodeRequest(head, payload).taskId, /^[0-9a-f]{64}$/);
          else if (head.type === "piece") decodePieceStart(head, payload);
          else if (head.type === "end") assert.ok(ENDS.includes(decodeEnd(payload)));
        } catch (thrown) {
          if (!isMalformed(thrown)) throw thrown;
        }
      },
    ),
    { seed: SEED, numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const start = Buffer.concat([Buffer.from([0, 160]), bytes]);
      try {
        decodeGreeting(start);
      } catch (thrown) {
        if (!isMalformed(thrown)) throw thrown;
      }
    }),
    { seed: SEED, numRuns: 2000 },
  );
});
