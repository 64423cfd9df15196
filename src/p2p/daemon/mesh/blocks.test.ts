import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { suite, test } from "node:test";
import { hasCode } from "../../../../test/kit/errors.ts";
import { aMeshNode, blocksOf, ByHand, factsOf, fetchBlocks, heldBytes, meshContent, turnsUntil } from "../../../../test/kit/mesh.ts";
import type { MeshNode, MeshNodeOptions } from "../../../../test/kit/mesh.ts";
import { aContent, pieceOf, storePiece } from "../../pieces/piece-store.conformance.ts";
import { blockBytesOf } from "../../model/piece.ts";
import { NO_LIMITS } from "../rates/no-limits.ts";
import { Outgoing } from "./outgoing.ts";

const content = meshContent();
const { meta } = content;
const PIECES = Array.from({ length: meta.pieceCount }, (_, index) => index);

const aNode = (scope: AsyncDisposableStack, options: Partial<MeshNodeOptions> = {}): Promise<MeshNode> =>
  aMeshNode(scope, { content, ...options });

/** A parent that has everything and a child that takes its word. */
async function aPair(scope: AsyncDisposableStack, options: Partial<MeshNodeOptions> = {}) {
  const parent = await aNode(scope, { whole: true, ...options });
  const child = await aNode(scope);
  child.keys.add(parent.voucher.publicKey);
  return { parent, child };
}

/** Writes into the content file behind the store's back. */
async function alter({ stored }: MeshNode, offsetBytes: number): Promise<void> {
  const file = await open(stored.path, "r+");
  await file.write(Buffer.from("altered"), 0, 7, offsetBytes);
  await file.close();
}

suite("whole pieces", () => {
  test("come over one connection, all at once, proven by whoever vouches for them", async () => {
    await using scope = new AsyncDisposableStack();
    const { parent, child } = await aPair(scope);
    const arrived: number[] = [];
    const missingAtTheEnd: number[] = [];
    const fetched = PIECES.map((piece) => {
      const onEnding = (): void => void missingAtTheEnd.push(pieceOf(content, piece).length - receiver.receivedBytes);
      const { receiver, done } = fetchBlocks(child, parent.address, piece, { onArriving: (each) => void arrived.push(each), onEnding });
      return done;
    });
    assert.deepEqual(
      await Promise.all(fetched),
      PIECES.map((piece) => ({ kind: "stored", piece, lengthBytes: pieceOf(content, piece).length })),
    );
    for (const piece of PIECES) {
      assert.ok((await heldBytes(child, piece)).equals(pieceOf(content, piece)));
      assert.deepEqual(child.stored.piece(piece)?.parentId, "parent");
      assert.notEqual(await child.feed.proofOf(factsOf(content, piece)), undefined, "it can show the proof to others");
    }
    assert.deepEqual(
      arrived.toSorted((a, b) => a - b),
      PIECES,
    );
    assert.equal(missingAtTheEnd.length, PIECES.length, "of each is said once that its last block comes");
    assert.ok(missingAtTheEnd.every((bytes) => bytes > 0 && bytes <= blockBytesOf(meta.pieceLength)));
    assert.equal(parent.servedConnections(), 1);
    assert.equal(parent.sentBytes(), meta.contentLength);
    assert.equal(parent.stored.uploadedBytes, meta.contentLength);
    await turnsUntil(() => parent.slots.inUse === 0);
    assert.ok(!parent.stored.inUse.includes("upload"));
  });

  const rows: readonly (readonly [string, (parent: MeshNode, child: MeshNode) => void, Partial<MeshNodeOptions>])[] = [
    ["of somebody whose key is not known", () => undefined, {}],
    ["of somebody who vouches for nothing", (parent, child) => child.keys.add(parent.voucher.publicKey), { authority: false }],
  ];
  for (const [title, before, options] of rows) {
    test(`${title} are checked as a whole, and passed on only then`, async () => {
      await using scope = new AsyncDisposableStack();
      const parent = await aNode(scope, { whole: true, ...options });
      const child = await aNode(scope);
      before(parent, child);
      const { receiver, done } = fetchBlocks(child, parent.address, 1, { onArriving: () => assert.fail("nothing is proven") });
      await turnsUntil(() => receiver.receivedBytes > 0);
      assert.equal(child.feed.arrival(1), undefined);
      assert.equal((await done).kind, "stored");
      assert.ok((await heldBytes(child, 1)).equals(pieceOf(content, 1)));
      assert.equal(await child.feed.proofOf(factsOf(content, 1)), undefined);
    });
  }
});

suite("a block that is not what was vouched for", () => {
  for (const bad of [0, 2, 3]) {
    test(`is neither stored nor passed on, and those before it are given up: block ${bad}`, async () => {
      await using scope = new AsyncDisposableStack();
      const { parent, child } = await aPair(scope);
      const facts = factsOf(content, 1);
      await parent.feed.proofOf(facts); // vouched for before it was altered
      await alter(parent, meta.pieceLength + bad * facts.blockBytes + 50);
      const told: string[] = [];
      const onArriving = (): void => {
        const arrival = child.feed.arrival(1)!;
        arrival.onChange(() => void told.push(`${arrival.blocks} ${arrival.state}`));
      };
      await assert.rejects(fetchBlocks(child, parent.address, 1, { onArriving }).done, hasCode("piece.digest-mismatch"));
      assert.ok(
        told.every((each) => Number(each.split(" ")[0]) <= bad),
        told.join(", "),
      );
      assert.equal(child.feed.arrival(1), undefined);
      assert.equal(child.stored.finished.count, 0);
      const honest = await aNode(scope, { whole: true });
      child.keys.add(honest.voucher.publicKey);
      assert.equal((await fetchBlocks(child, honest.address, 1).done).kind, "stored");
      assert.ok((await heldBytes(child, 1)).equals(pieceOf(content, 1)));
    });
  }

  test("is found by the checksum of the whole where nobody vouches", async () => {
    await using scope = new AsyncDisposableStack();
    const { parent, child } = await aPair(scope, { authority: false });
    await alter(parent, meta.pieceLength + 50);
    await assert.rejects(fetchBlocks(child, parent.address, 1).done, hasCode("piece.digest-mismatch"));
    assert.equal(child.stored.finished.count, 0);
    assert.equal((await fetchBlocks(child, parent.address, 0).done).kind, "stored", "the connection is well");
  });
});

test("a forged word for a piece ends its fetch before any byte of it is written", async () => {
  await using scope = new AsyncDisposableStack();
  const { parent, child } = await aPair(scope);
  const isProven = (): boolean => child.keys.proves({ ...meta, contentLength: 1 }, factsOf(content, 1), proof);
  const proof = (await parent.feed.proofOf(factsOf(content, 1)))!;
  await assert.rejects(fetchBlocks(child, parent.address, 1, { isProven }).done, hasCode("piece.digest-mismatch"));
  assert.equal(child.stored.finished.count, 0);
});

/** A source that vouches, a relay that has nothing yet, and two behind it in a row. */
async function aChain(scope: AsyncDisposableStack) {
  const source = await aNode(scope, { whole: true });
  const [relay, child, grandchild] = [await aNode(scope), await aNode(scope), await aNode(scope)];
  for (const node of [relay, child, grandchild]) node.keys.add(source.voucher.publicKey);
  const hand = new ByHand(relay, 2, (await source.feed.proofOf(factsOf(content, 2)))!);
  return { source, relay, child, grandchild, hand };
}

suite("a piece that is still arriving", () => {
  test("is passed on block by block, from peer to peer, before the first has the last block", async () => {
    await using scope = new AsyncDisposableStack();
    const { relay, child, grandchild, hand } = await aChain(scope);
    const first = fetchBlocks(child, relay.address, 2);
    await hand.next();
    await turnsUntil(() => child.feed.arrival(2)?.blocks === 1);
    const second = fetchBlocks(grandchild, child.address, 2);
    await turnsUntil(() => grandchild.feed.arrival(2)?.blocks === 1);
    await hand.next();
    await turnsUntil(() => grandchild.feed.arrival(2)?.blocks === 2);
    assert.deepEqual(
      [relay, child, grandchild].map(({ stored }) => stored.finished.has(2)),
      [false, false, false],
    );
    await hand.rest();
    assert.deepEqual([(await first.done).kind, (await second.done).kind], ["stored", "stored"]);
    for (const node of [child, grandchild]) assert.ok((await heldBytes(node, 2)).equals(pieceOf(content, 2)));
    await turnsUntil(() => relay.slots.inUse + child.slots.inUse === 0);
  });

  test("and comes no more is told as gone to all behind, who ask another", async () => {
    await using scope = new AsyncDisposableStack();
    const { source, relay, child, grandchild, hand } = await aChain(scope);
    const first = fetchBlocks(child, relay.address, 2);
    await hand.next();
    await turnsUntil(() => child.feed.arrival(2)?.blocks === 1);
    const second = fetchBlocks(grandchild, child.address, 2);
    await turnsUntil(() => grandchild.feed.arrival(2)?.blocks === 1);
    hand.die();
    assert.deepEqual(await first.done, { kind: "ended", end: "gone" });
    assert.deepEqual(await second.done, { kind: "ended", end: "gone" });
    assert.deepEqual(
      [child, grandchild].map(({ feed }) => feed.arrival(2)),
      [undefined, undefined],
    );
    await turnsUntil(() => relay.slots.inUse + child.slots.inUse === 0);
    for (const node of [child, grandchild]) assert.equal((await fetchBlocks(node, source.address, 2).done).kind, "stored");
    assert.deepEqual([relay.servedConnections(), child.servedConnections()], [1, 1], "the connections are well");
  });

  test("and is asked for late comes at once as far as it is, and ends whole when it was completed from elsewhere", async () => {
    await using scope = new AsyncDisposableStack();
    const { source, relay, child, hand } = await aChain(scope);
    await hand.next();
    await hand.next();
    const { done } = fetchBlocks(child, relay.address, 2);
    await turnsUntil(() => child.feed.arrival(2)?.blocks === 2);
    assert.equal((await fetchBlocks(relay, source.address, 2).done).kind, "stored");
    hand.die();
    assert.equal((await done).kind, "stored");
  });

  test("gives nothing of what it had once it has died: another may be writing there", async () => {
    await using scope = new AsyncDisposableStack();
    const { relay, hand } = await aChain(scope);
    const { arrival } = hand;
    using outgoing = new Outgoing({
      stored: relay.stored,
      start: { ...arrival.facts, proof: arrival.proof },
      arrival,
      slot: relay.slots.tryTake()!,
    });
    await hand.next();
    assert.deepEqual([outgoing.readyBlocks(), outgoing.gone], [1, false]);
    hand.die();
    assert.deepEqual([outgoing.readyBlocks(), outgoing.gone], [0, true]);
    await storePiece(relay.stored, content, 2);
    assert.deepEqual([outgoing.readyBlocks(), outgoing.gone], [4, false]);
  });

  test("that goes to a spool since somebody else writes into the file is not passed on from there", async () => {
    await using scope = new AsyncDisposableStack();
    const { parent, child } = await aPair(scope);
    const elsewhere = child.stored.writePiece({ index: 1, traffic: "back-to-source", parentId: "" });
    await elsewhere.write(Buffer.alloc(10)); // no block of it is in the file by now
    const { done } = fetchBlocks(child, parent.address, 1, { onArriving: () => assert.fail("nothing proven is in the file") });
    assert.equal((await done).kind, "stored");
    assert.ok((await heldBytes(child, 1)).equals(pieceOf(content, 1)));
    elsewhere.abort();
  });
});

/** Serves the piece behind the one that is asked for. */
const servesTheNext: NonNullable<MeshNodeOptions["admission"]> = (ordinary) => ({
  ...ordinary,
  admit: (request, hostId, signal) => ordinary.admit({ ...request, piece: request.piece + 1 }, hostId, signal),
});

suite("a request", () => {
  test("that is cancelled in the middle frees its slot, and its connection serves the next", async () => {
    await using scope = new AsyncDisposableStack();
    const source = await aNode(scope, { whole: true });
    const { parent, child } = await aPair(scope, { whole: false });
    child.keys.add(source.voucher.publicKey);
    const hand = new ByHand(parent, 1, (await source.feed.proofOf(factsOf(content, 1)))!);
    const { receiver, done } = fetchBlocks(child, parent.address, 1);
    await hand.next();
    await turnsUntil(() => receiver.receivedBytes > 0);
    receiver.ended("done");
    assert.deepEqual(await done, { kind: "ended", end: "done" });
    await turnsUntil(() => parent.slots.inUse === 0);
    await hand.rest();
    assert.equal((await fetchBlocks(child, parent.address, 1).done).kind, "stored");
    assert.equal(parent.servedConnections(), 1);
  });

  test("that is cancelled while its last block is on its way harms nobody on the same connection", async () => {
    await using scope = new AsyncDisposableStack();
    const paying = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const admitted: number[] = [];
    const single = aContent({ seed: 6, bytes: 100_000, pieceBytes: 50_000 }); // a block each
    const parent = await aMeshNode(scope, {
      content: single,
      whole: true,
      limits: {
        ...NO_LIMITS,
        tryUpload: () => false,
        upload: () => {
          asked.resolve();
          return paying.promise;
        },
      },
      admission: (ordinary) => ({
        ...ordinary,
        admit: (request, hostId, signal) => {
          admitted.push(request.piece);
          return ordinary.admit(request, hostId, signal);
        },
      }),
    });
    const child = await aMeshNode(scope, { content: single });
    const { receiver, done } = fetchBlocks(child, parent.address, 0);
    await asked.promise;
    receiver.ended("done");
    await done;
    const next = fetchBlocks(child, parent.address, 1);
    await turnsUntil(() => admitted.length === 2); // so the cancelling has come as well
    paying.resolve();
    assert.equal((await next.done).kind, "stored");
    assert.equal((await fetchBlocks(child, parent.address, 0).done).kind, "stored");
    assert.equal(parent.servedConnections(), 1);
  });

  test("without a free slot is told so, for what is not here as well", async () => {
    await using scope = new AsyncDisposableStack();
    const { parent, child } = await aPair(scope, { slots: 1 });
    const slot = parent.slots.tryTake()!;
    const ask = async (piece: number, address = parent.address) => fetchBlocks(child, address, piece).done;
    assert.deepEqual(await ask(0), { kind: "ended", end: "busy" });
    slot[Symbol.dispose]();
    assert.equal((await ask(0)).kind, "stored");
    const empty = await aNode(scope);
    assert.deepEqual(await ask(1, empty.address), { kind: "ended", end: "not-found" });
    assert.equal(parent.servedConnections(), 1);
  });

  test("may be answered with another piece where that is welcome", async () => {
    await using scope = new AsyncDisposableStack();
    const { parent, child } = await aPair(scope, { admission: servesTheNext });
    const begun: number[] = [];
    const onStart = (piece: number): boolean => begun.push(piece) > 0;
    assert.deepEqual(await fetchBlocks(child, parent.address, 0, { orAnother: true, onStart }).done, {
      kind: "stored",
      piece: 1,
      lengthBytes: meta.pieceLength,
    });
    assert.deepEqual(begun, [1]);
    const unwanted = await fetchBlocks(child, parent.address, 1, { orAnother: true, onStart: () => false }).done;
    assert.deepEqual(unwanted, { kind: "ended", end: "done" });
    await assert.rejects(fetchBlocks(child, parent.address, 2).done, hasCode("vortex.malformed"));
    assert.deepEqual(
      PIECES.map((piece) => child.stored.finished.has(piece)),
      [false, true, false, false],
    );
  });

  test("of a piece that comes from somebody else first ends as a duplicate", async () => {
    await using scope = new AsyncDisposableStack();
    const { parent, child } = await aPair(scope);
    const other = await aNode(scope, { whole: true });
    const kinds = (await Promise.all([parent, other].map(({ address }) => fetchBlocks(child, address, 0).done))).map(({ kind }) => kind);
    assert.deepEqual(kinds.toSorted(), ["duplicate", "stored"]);
    assert.ok((await heldBytes(child, 0)).equals(pieceOf(content, 0)));
    assert.equal(child.feed.arrival(0), undefined);
  });
});

test("with memory for few blocks, many pieces from many neighbours come one after the other", async () => {
  await using scope = new AsyncDisposableStack();
  const large = aContent({ seed: 7, bytes: 5_000_000, pieceBytes: 1_048_576 * 4 }); // blocks of 256 KiB
  const parents = [];
  for (let i = 0; i < 3; i++) parents.push(await aMeshNode(scope, { content: large, whole: true }));
  const child = await aMeshNode(scope, { content: large, mesh: { receiveBytesMax: "1MiB" } });
  const wanted = parents.flatMap(({ address }) => [0, 1].map((piece) => fetchBlocks(child, address, piece).done));
  const kinds = (await Promise.all(wanted)).map(({ kind }) => kind).toSorted();
  assert.deepEqual(kinds, ["duplicate", "duplicate", "duplicate", "duplicate", "stored", "stored"]);
  for (const piece of [0, 1]) assert.ok((await heldBytes(child, piece)).equals(pieceOf(large, piece)));
  assert.equal(blocksOf(large, 0).length, 16);
});
