import assert from "node:assert/strict";
import { test } from "node:test";
import { Peer } from "../../wire/grpc/gen/common/v2/common.ts";
import { OWN_VERSION_PREFIX, parentOfferOf } from "./api.ts";
import { Parent } from "./parent.ts";

const LAYOUT = { contentLength: 8 * 1024 * 1024, pieceLength: 4 * 1024 * 1024, pieceCount: 2 };

function parentWith(gitVersion: string): Parent {
  const host = { id: "h", ip: "10.0.0.7", port: 4000, downloadPort: 4000, build: { gitVersion } };
  const offer = parentOfferOf(Peer.fromPartial({ id: "p", host, finishedPieces: Uint8Array.of(0b11) }));
  assert.ok(offer !== undefined);
  return new Parent(offer, LAYOUT.pieceCount, {} as ConstructorParameters<typeof Parent>[2]); // nothing of it is used here
}

test("a Dragonfly parent is asked for a piece only once it has said where its pieces are", () => {
  const parent = parentWith("1.5.10");
  assert.equal(parent.has(0), false);
  assert.ok(parent.note({ number: 0, offset: 0, length: LAYOUT.pieceLength, ip: "10.0.0.7", tcpPort: 4005 }, LAYOUT));
  assert.deepEqual([parent.has(0), parent.address.port], [true, 4005]);
});

test("one of ours is asked at once for what the scheduler knows of", () => {
  assert.equal(parentWith(`${OWN_VERSION_PREFIX}1.0.0`).has(1), true);
});
