import assert from "node:assert/strict";
import { test } from "node:test";
import { Database, NO_EVENTS } from "./database.ts";
import { slotOfKey } from "./key-slot.ts";

const open = (): Database => new Database(0, NO_EVENTS, { bySlot: true });
const put = (db: Database, key: string, value = "v"): number => db.setStringText(key, Buffer.from(value));
const keysOf = (db: Database): string[] => {
  const keys: string[] = [];
  db.each((address) => keys.push(db.keyOf(address)));
  return keys.toSorted();
};
const named = (count: number, from = 0): string[] => Array.from({ length: count }, (_, at) => `key:${from + at}`);
const slotsOf = (keys: readonly string[]): Set<number> => new Set(keys.map(slotOfKey));

test("keys have the slots that the cluster specification gives them", () => {
  // Of the specification: CRC-16 of "123456789" is 0x31c3; the others are what redis-server 7 answers to CLUSTER KEYSLOT.
  const table = { "123456789": 0x31c3 & 16_383, foo: 12_182, "{foo}.a": 12_182, "a{foo}{bar}": 12_182, "{}foo": 9500, "foo{": 7673, "": 0 };
  for (const [key, slot] of Object.entries(table)) assert.equal(slotOfKey(key), slot, key);
});

test("SCAN meets all keys once or more while keys come and go", () => {
  const db = open();
  for (const key of named(5000)) put(db, key);
  const seen = new Set<string>();
  let cursor = 0;
  let round = 0;
  do {
    cursor = db.scan(cursor, (address) => seen.add(db.keyOf(address)));
    put(db, `more:${round++}`);
    if (round % 3 === 0) db.remove(db.peekText(`more:${round - 2}`));
  } while (cursor !== 0);
  for (const key of named(5000)) assert.ok(seen.has(key), key);
  assert.equal(keysOf(db).length, db.count);
});

test("a random key comes from any slot, and removing all leaves nothing behind", () => {
  const db = open();
  const empty = db.usedBytes;
  for (const key of named(200)) put(db, key);
  const met = new Set(Array.from({ length: 5000 }, () => db.keyOf(db.random(Math.random))));
  assert.equal(met.size, 200);
  for (const slot of slotsOf(named(200))) while (!db.dropFrom(slot, 1));
  assert.equal(db.count, 0);
  assert.equal(db.random(Math.random), 0);
  assert.equal(db.usedBytes, empty);
});

test("tidying does no more than it is told, over all slots, and what it frees is counted", () => {
  const db = open();
  const empty = db.usedBytes;
  const keys = Array.from({ length: 500 }, (_, slot) => named(33).map((key) => `{${slot}}${key}`)).flat();
  for (const key of keys) put(db, key);
  let rounds = 1;
  while (db.tidy(64)) rounds++;
  assert.ok(rounds > 50, `${rounds} rounds`);
  for (const key of keys) db.remove(db.peekText(key));
  assert.deepEqual([db.count, db.usedBytes, db.tidy(64)], [0, empty, false]);
});

test("what is staged is seen by nobody before it is adopted, and expires after it", () => {
  const db = open();
  db.nowMs = 1000;
  for (const key of named(50)) put(db, key);
  const stage = db.stage();
  for (const key of named(100, 1000)) put(stage, key, "staged");
  stage.setExpiry(stage.peekText("key:1001"), 500);
  assert.deepEqual([db.count, db.peekText("key:1000"), stage.count], [50, 0, 100]);
  const slots = slotsOf(named(100, 1000));
  for (const slot of slots) while (db.slotCount(slot) > 0) db.dropFrom(slot, 100);
  const own = db.count;
  let cursor = 0;
  do cursor = db.align(stage, cursor);
  while (cursor !== 0);
  db.adopt(stage, slots);
  assert.equal(db.count, own + 100);
  assert.equal(db.stringTextOf(db.peekText("key:1000")), "staged");
  assert.equal(db.peekText("key:1001"), 0);
  assert.equal(db.count, own + 99);
});

test("a stage survives that its database is cleared, and one that is given up leaves nothing", () => {
  const db = open();
  const stage = db.stage();
  for (const key of named(100)) put(stage, key, "staged");
  put(db, "own");
  db.clear();
  assert.equal(keysOf(stage).length, 100);
  db.adopt(stage, slotsOf(named(100)));
  assert.equal(db.stringTextOf(db.peekText("key:7")), "staged");
  const before = db.usedBytes;
  const other = db.stage();
  for (const key of named(3000, 5000)) put(other, key);
  while (!other.discard(slotsOf(named(3000, 5000)), 100));
  assert.equal(db.usedBytes, before);
});

test("a walk meets each record once, before it is changed; those that come later are walked", () => {
  const db = open();
  const keys = Array.from({ length: 100 }, (_, at) => `{s}${at}`);
  for (const key of keys) put(db, key, "old");
  const met: string[] = [];
  const slot = slotOfKey("{s}");
  db.beginWalk(slot, (address) => met.push(`${db.keyOf(address)}=${db.stringTextOf(address)}`));
  put(db, "{s}7", "new");
  db.remove(db.peekText("{s}8"));
  put(db, "{s}new");
  assert.deepEqual(met, ["{s}7=old", "{s}8=old"]);
  let cursor = 0;
  do cursor = db.scanSlot(slot, cursor, (address) => db.walk(address));
  while (cursor !== 0);
  db.endWalk(slot);
  assert.deepEqual(met.toSorted(), keys.map((key) => `${key}=old`).toSorted());
});

test("a snapshot has what was adopted before it, and not what comes while it is taken", () => {
  const db = open();
  const stage = db.stage();
  put(stage, "before");
  const taken: string[] = [];
  const snapshot = (): void => {
    db.beginSnapshot((_, address) => taken.push(db.keyOf(address)));
    let cursor = 0;
    do
      cursor = db.scan(cursor, (address) => {
        if (db.takeForSnapshot(address)) taken.push(db.keyOf(address));
      });
    while (cursor !== 0);
    db.endSnapshot();
  };
  snapshot();
  assert.equal(db.isAligned(stage), false);
  let cursor = 0;
  do cursor = db.align(stage, cursor);
  while (cursor !== 0);
  db.adopt(stage, slotsOf(["before"]));
  snapshot();
  snapshot();
  assert.deepEqual(taken, ["before", "before"]);
});

test("keys of frozen slots are hidden when they expire, and stay", () => {
  const db = open();
  db.nowMs = 1000;
  db.setExpiry(put(db, "a"), 500);
  db.freeze(slotsOf(["a"]));
  assert.deepEqual([db.peekText("a"), db.count], [0, 1]);
  db.freeze(new Set());
  assert.deepEqual([db.peekText("a"), db.count], [0, 0]);
});
