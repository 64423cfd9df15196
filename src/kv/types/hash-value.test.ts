import assert from "node:assert/strict";
import { test } from "node:test";
import { array, assert as check, constantFrom, nat, oneof, property, record, string } from "fast-check";
import { Request } from "../../wire/resp/request.ts";
import { HashValue, type HashLimits } from "./hash-value.ts";

const LIMITS: HashLimits = { "hash-max-listpack-entries": 128, "hash-max-listpack-value": 64 };

const entriesOf = (hash: HashValue): [string, string][] =>
  Array.from({ length: hash.size }, (_, position): [string, string] => [hash.fieldAt(position), hash.valueAt(position)]);

test("a hash holds what a map holds after any operations, at first in its order", () => {
  const operation = record({
    do: constantFrom("set", "set", "set", "delete"),
    field: string({ maxLength: 2 }),
    value: oneof(
      string({ maxLength: 9 }),
      nat({ max: 70 }).map((length) => "v".repeat(length)),
    ),
  });
  check(
    property(array(operation, { maxLength: 200, size: "max" }), (operations) => {
      const hash = new HashValue();
      const model = new Map<string, string>();
      let most = 0;
      for (const { do: what, field, value } of operations) {
        if (what === "set") {
          assert.equal(hash.set(field, value, LIMITS), !model.has(field));
          model.set(field, value);
        } else assert.equal(hash.delete(field), model.delete(field));
        most = Math.max(most, model.size);
        assert.equal(hash.get(field), model.get(field));
        assert.equal(hash.has(field), model.has(field));
        if (most <= 12 && hash.encoding === "listpack") assert.deepEqual(entriesOf(hash), [...model]);
      }
      const copy = hash.copy();
      assert.equal(copy.bytes, hash.bytes);
      hash.set("field", "changed", LIMITS);
      assert.deepEqual(new Map(entriesOf(copy)), model);
      const visited: [string, string][] = [];
      copy.each((field, value) => visited.push([field, value]));
      assert.deepEqual(visited, entriesOf(copy));
    }),
  );
});

test("a hash is a listpack until it has too many fields or one is too long, and never again", () => {
  const filled = (count: number, length: number): HashValue => {
    const hash = new HashValue();
    for (let i = 0; i < count; i++) hash.set(`field-${i}`, "v".repeat(length), LIMITS);
    return hash;
  };
  assert.equal(filled(128, 64).encoding, "listpack");
  assert.equal(filled(129, 1).encoding, "hashtable");
  const long = filled(1, 65);
  assert.equal(long.encoding, "hashtable");
  long.set("field-0", "v", LIMITS);
  assert.equal(long.copy().encoding, "hashtable");
});

test("fields that were fetched are set and found as others are", () => {
  const hash = new HashValue();
  const model = new Map<string, string>();
  for (let i = 0; i < 2000; i++) {
    const requests = [i, (i * 7919) % 2000, i + 1].map((number) => Request.of(["HSET", "h", `field-${number}`, `value ${i}`]));
    requests.push(Request.of(["HLEN", "h"]), Request.of(["HSET", "h", "long".repeat(50), String(i)]));
    hash.fetch(requests, requests.length);
    for (const request of requests.filter(({ count }) => count === 4)) {
      const field = request.text(2);
      assert.equal(hash.setFrom(request, 2, 3, LIMITS), !model.has(field));
      model.set(field, request.text(3));
    }
  }
  for (const [field, value] of model) assert.equal(hash.get(field), value);
  assert.equal(hash.size, model.size);
});
