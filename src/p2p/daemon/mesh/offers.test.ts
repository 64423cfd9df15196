import assert from "node:assert/strict";
import { test } from "node:test";
import { Offers } from "./offers.ts";

const isThere = (): boolean => true;

test("a piece that was sent is held back until its time is over, and then offered again once", () => {
  const offers = new Offers(1000);
  assert.ok(offers.isOffered(3));
  offers.sent(3, 50);
  offers.sent(5, 400);
  assert.deepEqual(
    [3, 4, 5].map((piece) => offers.isOffered(piece)),
    [false, true, false],
  );
  assert.deepEqual([...offers.heldBack.keys()], [3, 5]);
  assert.deepEqual(offers.due(1049, isThere), []);
  assert.deepEqual(offers.due(1050, isThere), [3]);
  assert.ok(offers.isOffered(3));
  assert.deepEqual(offers.due(1399, isThere), []);
  assert.deepEqual(offers.due(5000, isThere), [5]);
  assert.equal(offers.heldBack.size, 0);
});

test("a piece that is sent again while it is held back keeps others from being late, and is itself held back anew", () => {
  const offers = new Offers(1000);
  offers.sent(1, 0);
  offers.sent(2, 100);
  offers.sent(1, 900);
  assert.deepEqual(offers.due(1100, isThere), [2]);
  assert.deepEqual(offers.due(1899, isThere), []);
  assert.deepEqual(offers.due(1900, isThere), [1]);
});

test("where a piece takes long to be sent it is held back until it has spread, unless nobody has it any more", () => {
  const offers = new Offers(1000);
  offers.took(500);
  for (const piece of [1, 2]) offers.sent(piece, 0);
  assert.deepEqual(offers.due(1999, isThere), []);
  assert.deepEqual(
    offers.due(1999, (piece) => piece === 2),
    [1],
  );
  assert.deepEqual(offers.due(2000, isThere), [2]);
});

test("how long pieces take to be sent is learnt anew when it changes", () => {
  const offers = new Offers(1000);
  for (const ms of [5000, ...Array.from({ length: 30 }, () => 100)]) offers.took(ms);
  offers.sent(1, 0);
  assert.deepEqual(offers.due(1000, isThere), [1]);
});

test("everything may be offered at once", () => {
  const offers = new Offers(1000);
  for (const piece of [4, 2, 9]) offers.sent(piece, 0);
  assert.deepEqual(offers.all(), [4, 2, 9]);
  assert.ok([4, 2, 9].every((piece) => offers.isOffered(piece)));
  assert.deepEqual(offers.all(), []);
});
