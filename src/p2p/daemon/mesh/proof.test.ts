import assert from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import { suite, test } from "node:test";
import { hasCode } from "../../../../test/kit/errors.ts";
import type { BlockHashes } from "../../../wire/mesh/frames.ts";
import { aContent } from "../../pieces/piece-store.conformance.ts";
import type { TaskMeta } from "../../model/types.ts";
import { parseTaskId } from "../../model/ids.ts";
import { TrustedKeys, Voucher, type ProvenPiece } from "./proof.ts";

const { meta } = aContent({ bytes: 1000, pieceBytes: 300 });
const PIECE: ProvenPiece = { piece: 2, lengthBytes: 300, blockBytes: 100, crc32: 0xfedc_ba98 };
const HASHES = Buffer.from(Array.from({ length: 96 }, (_, i) => i));

const voucher = new Voucher();
const proof = voucher.vouch(meta, PIECE, HASHES);

function trusting(...keys: readonly Uint8Array[]): TrustedKeys {
  const trusted = new TrustedKeys();
  for (const key of keys) trusted.add(key);
  return trusted;
}

const flipped = (bytes: Uint8Array, at = 0): Uint8Array => Uint8Array.from(bytes, (byte, i) => (i === at ? byte ^ 1 : byte));

test("hashes count when somebody vouches for them whose key is known, as often as they are shown", () => {
  const keys = trusting(new Voucher().publicKey, voucher.publicKey);
  assert.equal(keys.proves(meta, PIECE, proof), true);
  assert.equal(keys.proves(meta, PIECE, proof), true);
  assert.equal(keys.proves(meta, { ...PIECE, crc32: PIECE.crc32 | 0 }, proof), true, "a checksum is 32 bits, whatever its sign");
});

test("hashes of an unknown key do not count, and are nobody's fault", () => {
  assert.equal(trusting().proves(meta, PIECE, proof), false);
  assert.equal(trusting(new Voucher().publicKey).proves(meta, PIECE, proof), false);
});

suite("what was signed of one thing proves nothing of another:", () => {
  const rows: readonly (readonly [string, Partial<TaskMeta>, Partial<ProvenPiece>, Partial<BlockHashes>])[] = [
    ["task", { id: parseTaskId("a".repeat(64)) }, {}, {}],
    ["length of the content", { contentLength: 1001 }, {}, {}],
    ["length of the pieces", { pieceLength: 301 }, {}, {}],
    ["piece", {}, { piece: 1 }, {}],
    ["length of the piece", {}, { lengthBytes: 299 }, {}],
    ["size of the blocks", {}, { blockBytes: 101 }, {}],
    ["checksum", {}, { crc32: 0 }, {}],
    ["first hash", {}, {}, { hashes: flipped(HASHES) }],
    ["last hash", {}, {}, { hashes: flipped(HASHES, 95) }],
    ["number of hashes", {}, {}, { hashes: HASHES.subarray(0, 64) }],
    ["signature", {}, {}, { signature: flipped(proof.signature, 63) }],
    ["signature of somebody else", {}, {}, { signature: new Voucher().vouch(meta, PIECE, HASHES).signature }],
  ];
  for (const [name, ofTask, ofPiece, forged] of rows) {
    test(name, () => {
      const keys = trusting(voucher.publicKey);
      assert.throws(
        () => keys.proves({ ...meta, ...ofTask }, { ...PIECE, ...ofPiece }, { ...proof, ...forged }),
        hasCode("piece.digest-mismatch"),
      );
    });
  }
});

test("bytes that cannot be a key are ignored, and any 32 bytes harm nobody", () => {
  const keys = trusting(Buffer.alloc(0), Buffer.alloc(31), Buffer.alloc(33));
  assert.equal(keys.size, 0);
  for (const fill of [0, 0xff, 0x80]) {
    const key = Buffer.alloc(32, fill);
    keys.add(key);
    assert.throws(() => keys.proves(meta, PIECE, { ...proof, key }), hasCode("piece.digest-mismatch"));
  }
});

test("keys beyond the limit push out the oldest; a key named twice is one", () => {
  const keys = trusting(voucher.publicKey);
  const other = new Voucher();
  keys.add(other.publicKey);
  keys.add(voucher.publicKey);
  assert.equal(keys.size, 2);
  while (keys.size < 256) keys.add(randomFillSync(Buffer.alloc(32)));
  assert.equal(keys.proves(meta, PIECE, proof), true);
  keys.add(randomFillSync(Buffer.alloc(32)));
  assert.equal(keys.size, 256);
  assert.equal(keys.proves(meta, PIECE, proof), false);
  assert.equal(keys.proves(meta, PIECE, other.vouch(meta, PIECE, HASHES)), true);
});
