import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { createRandom } from "../../base/random.ts";
import { Request } from "../../wire/resp/request.ts";
import { Database } from "./database.ts";
import { LargeString } from "./value.ts";

const database = (expired: string[] = []): Database =>
  new Database(0, { expired: (_, key) => expired.push(key), added: () => undefined, missed: () => undefined });

const keysOf = (db: Database): string[] => {
  const keys: string[] = [];
  db.each((address) => keys.push(db.keyOf(address)));
  return keys.toSorted();
};

test("a database holds what a map holds after any operations", () => {
  const key = fc.oneof(fc.integer({ min: 0, max: 60 }).map(String), fc.string({ maxLength: 40 }));
  const operation = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant("set" as const), key, bytes: fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 40_000 })) }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("remove" as const), key }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("change" as const), key, bytes: fc.nat({ max: 40_000 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("object" as const), key }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("expire" as const), key }) },
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
      const db = database();
      const model = new Map<string, string>();
      for (const [i, step] of operations.entries()) {
        const name = Buffer.from(step.key).toString("latin1");
        const address = db.findText(name);
        assert.equal(address !== 0, model.has(name));
        const content = "bytes" in step ? String.fromCharCode(97 + (i % 26)).repeat(step.bytes) : "";
        if (step.do === "set") {
          db.setStringText(name, Buffer.from(content));
          model.set(name, content);
        } else if (step.do === "object") {
          db.setObjectText(name, new LargeString(Buffer.from("an object")));
          model.set(name, "an object");
        } else if (address !== 0 && step.do === "remove") {
          db.remove(address);
          model.delete(name);
        } else if (address !== 0 && step.do === "change") {
          db.changeString(address, Buffer.from(content), true);
          model.set(name, content);
        } else if (address !== 0 && step.do === "expire") db.setExpiry(address, 1e15 + i);
      }
      assert.equal(db.count, model.size);
      assert.deepEqual(keysOf(db), [...model.keys()].toSorted());
      for (const [name, content] of model) assert.equal(db.stringTextOf(db.findText(name)), content);
      for (const name of model.keys()) db.remove(db.findText(name));
      assert.deepEqual([db.count, db.expiryCount], [0, 0]);
    }),
  );
});

test("a scan finds whatever is there all the time, while the table grows and shrinks", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const seeded = createRandom(seed);
    const random = (): number => seeded.next();
    const db = database();
    const stays = Array.from({ length: 200 }, (_, i) => `stays-${i}`);
    for (const key of stays) db.setStringText(key, Buffer.from("v"));
    let others = 0;
    const found = new Set<string>();
    let cursor = 0;
    let calls = 0;
    do {
      cursor = db.scan(cursor, (address) => found.add(db.keyOf(address)));
      // Grows at first and shrinks later, several times its size.
      for (let i = 0; i < 20; i++)
        if (random() < (calls < 60 ? 0.9 : 0.1)) db.setStringText(`other-${others++}`, Buffer.from("v"));
        else {
          const address = db.random(random);
          if (!db.keyOf(address).startsWith("stays")) db.remove(address);
        }
      assert.ok(++calls < 100_000, "the scan does not end");
    } while (cursor !== 0);
    for (const key of stays) assert.ok(found.has(key), `seed ${seed}: ${key} was not found`);
  }
});

test("a key whose time has come is gone at the next look", () => {
  const expired: string[] = [];
  const db = database(expired);
  db.nowMs = 1000;
  db.setExpiry(db.setStringText("a", Buffer.from("1")), 1500);
  db.setExpiry(db.setStringText("b", Buffer.from("2")), 2500);
  assert.notEqual(db.findText("a"), 0);
  db.nowMs = 1500;
  assert.equal(db.findText("a"), 0);
  assert.deepEqual(expired, ["a"]);
  db.expiryMode = "hide";
  db.nowMs = 3000;
  assert.equal(db.findText("b"), 0);
  db.expiryMode = "keep";
  assert.notEqual(db.findText("b"), 0);
  assert.equal(db.persist(db.findText("b")), true);
  assert.equal(db.expiryCount, 0);
});

test("freed records are used again", () => {
  const db = database();
  const round = (): void => {
    for (let i = 0; i < 20_000; i++) db.setStringText(`key-${i}`, Buffer.alloc(i % 200));
    for (let i = 0; i < 20_000; i++) db.remove(db.findText(`key-${i}`));
  };
  round();
  const { allocatedBytes } = db;
  for (let i = 0; i < 5; i++) round();
  assert.equal(db.allocatedBytes, allocatedBytes);
});

test("keys that were fetched are found as others are, and a table that grows has grown after a few batches", () => {
  const db = database();
  const names = Array.from({ length: 3000 }, (_, i) => `key-${i}`);
  for (const [i, name] of names.entries()) {
    db.setStringText(name, Buffer.from(name));
    const wanted = [name, names[(i * 7919) % 3000]!, "x".repeat(500), `none-${i}`];
    const requests = [...wanted.map((each) => Request.of(["GET", each])), Request.of(["PING"])];
    db.fetch(requests, requests.length);
    for (const [at, each] of wanted.entries()) {
      const address = db.peek(requests[at]!, 1);
      assert.equal(
        address === 0 ? undefined : db.stringTextOf(address),
        names.indexOf(each) >= 0 && names.indexOf(each) <= i ? each : undefined,
      );
    }
  }
  assert.equal(db.tableSize, 4096);
});
