import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { test } from "node:test";
import { anEmptyTask, blocksOf, factsOf, meshContent } from "../../../../test/kit/mesh.ts";
import { hasCode } from "../../../../test/kit/errors.ts";
import { storeAll, storePiece } from "../../pieces/piece-store.conformance.ts";
import type { StoredTask } from "../../pieces/types.ts";
import { Feed } from "./feed.ts";
import { TrustedKeys, Voucher } from "./proof.ts";

const content = meshContent();
const { meta } = content;

async function aFeed(scope: AsyncDisposableStack, isAuthority: () => boolean) {
  const stored = await anEmptyTask(scope, content);
  await storeAll(stored, content);
  const reads: number[] = [];
  const counted: StoredTask = Object.create(stored, {
    read: {
      value: (options: Parameters<StoredTask["read"]>[0]) => {
        reads.push(options.offsetBytes);
        return stored.read(options);
      },
    },
    meta: { value: stored.meta },
    quarantinePiece: { value: (index: number) => stored.quarantinePiece(index) },
  }) as StoredTask; // the real one, seen reading
  const voucher = new Voucher();
  return { stored, reads, voucher, feed: new Feed(counted, voucher, isAuthority) };
}

/** Hashes of a piece as its content has them. */
const hashesOf = (piece: number): Buffer =>
  Buffer.concat(blocksOf(content, piece).map((block) => createHash("sha256").update(block).digest()));

test("whoever's word counts vouches for the hashes of what it holds, also of the shorter last piece", async () => {
  await using scope = new AsyncDisposableStack();
  const { feed, voucher } = await aFeed(scope, () => true);
  const keys = new TrustedKeys();
  keys.add(voucher.publicKey);
  for (const piece of [0, meta.pieceCount - 1]) {
    const facts = factsOf(content, piece);
    const proof = await feed.proofOf(facts);
    assert.ok(proof !== undefined && keys.proves(meta, facts, proof));
    assert.ok(hashesOf(piece).equals(proof.hashes));
  }
});

test("many who ask at once make it read the piece once, and those who ask later do not make it read again", async () => {
  await using scope = new AsyncDisposableStack();
  const { feed, reads } = await aFeed(scope, () => true);
  const facts = factsOf(content, 1);
  const proofs = await Promise.all(Array.from({ length: 20 }, () => feed.proofOf(facts)));
  proofs.push(await feed.proofOf(facts));
  assert.equal(new Set(proofs).size, 1);
  assert.deepEqual(
    reads,
    [0, 1, 2, 3].map((block) => meta.pieceLength + block * facts.blockBytes),
  );
});

test("whoever's word does not count vouches for nothing, until it does", async () => {
  await using scope = new AsyncDisposableStack();
  let authority = false;
  const { feed, reads } = await aFeed(scope, () => authority);
  assert.equal(await feed.proofOf(factsOf(content, 0)), undefined);
  assert.deepEqual(reads, []);
  authority = true;
  assert.notEqual(await feed.proofOf(factsOf(content, 0)), undefined);
});

test("what was proven to it, it shows to others in the words of whoever vouched", async () => {
  await using scope = new AsyncDisposableStack();
  const { feed } = await aFeed(scope, () => false);
  const facts = factsOf(content, 2);
  const proof = new Voucher().vouch(meta, facts, hashesOf(2));
  feed.end(feed.begin(facts, proof)!, "held");
  assert.equal(await feed.proofOf(facts), proof);
  feed.forget(2);
  assert.equal(await feed.proofOf(facts), undefined);
});

test("what arrived in part only proves nothing later", async () => {
  await using scope = new AsyncDisposableStack();
  const { feed } = await aFeed(scope, () => false);
  const facts = factsOf(content, 2);
  feed.end(feed.begin(facts, new Voucher().vouch(meta, facts, hashesOf(2)))!, "gone");
  assert.equal(await feed.proofOf(facts), undefined);
});

test("a piece arrives from one at a time; each block and the end are told to those who listen, and to nobody else", async () => {
  await using scope = new AsyncDisposableStack();
  const { feed, voucher } = await aFeed(scope, () => false);
  const facts = factsOf(content, 0);
  const proof = voucher.vouch(meta, facts, hashesOf(0));
  const arrival = feed.begin(facts, proof)!;
  assert.equal(feed.begin(facts, proof), undefined);
  assert.notEqual(feed.begin(factsOf(content, 1), proof), undefined, "another piece is another arrival");
  assert.equal(feed.arrival(0), arrival);
  const told: string[] = [];
  const say = (who: string) => () => void told.push(`${who} ${arrival.blocks} ${arrival.state}`);
  const first = arrival.onChange(say("first"));
  using _second = arrival.onChange(say("second"));
  arrival.advance();
  first[Symbol.dispose]();
  arrival.advance();
  feed.end(arrival, "held");
  assert.deepEqual(told, ["first 1 arriving", "second 1 arriving", "second 2 arriving", "second 2 held"]);
  assert.equal(feed.arrival(0), undefined);
  assert.notEqual(feed.begin(facts, proof), undefined, "it may arrive again");
});

test("an arrival that ends late does not end the one that took its place", async () => {
  await using scope = new AsyncDisposableStack();
  const { feed, voucher } = await aFeed(scope, () => false);
  const facts = factsOf(content, 0);
  const proof = voucher.vouch(meta, facts, hashesOf(0));
  const old = feed.begin(facts, proof)!;
  feed.end(old, "gone");
  const next = feed.begin(facts, proof)!;
  feed.end(old, "gone");
  assert.equal(feed.arrival(0), next);
  assert.equal(next.state, "arriving");
});

test("a piece that was altered on disk is not vouched for: others would pass on what only they find wrong", async () => {
  await using scope = new AsyncDisposableStack();
  const { feed, stored } = await aFeed(scope, () => true);
  const file = await open(stored.path, "r+");
  await file.write(Buffer.from("altered"), 0, 7, meta.pieceLength + 100);
  await file.close();
  const altered = factsOf(content, 1);
  await Promise.all([0, 1].map(() => assert.rejects(feed.proofOf(altered), hasCode("piece.digest-mismatch"))));
  assert.deepEqual(
    [0, 1].map((piece) => stored.finished.has(piece)),
    [true, false],
    "it is dropped, to be fetched again",
  );
  assert.notEqual(await feed.proofOf(factsOf(content, 0)), undefined, "the other pieces are well");
});

test("a proof that could not be made is made for the next who asks, once the piece is right again", async () => {
  await using scope = new AsyncDisposableStack();
  const { feed, stored } = await aFeed(scope, () => true);
  const file = await open(stored.path, "r+");
  await file.write(Buffer.from("altered"), 0, 7, meta.pieceLength);
  await file.close();
  await assert.rejects(feed.proofOf(factsOf(content, 1)));
  await storePiece(stored, content, 1);
  assert.notEqual(await feed.proofOf(factsOf(content, 1)), undefined);
});
