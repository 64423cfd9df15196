import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { StreamValue, type StreamEntry } from "./stream.ts";
import { idOf, parseId, textOfId } from "./stream-id.ts";

const LIMITS = { entriesMax: 4, bytesMax: 0 };

test("a stream holds what a list of entries holds after any additions, deletions and trims", () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant("add" as const), by: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("delete" as const), id: fc.nat({ max: 80 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("length" as const), length: fc.nat({ max: 30 }), nearly: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("from" as const), from: fc.nat({ max: 80 }), limit: fc.nat({ max: 10 }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat({ max: 80 }), fc.nat({ max: 80 }), fc.nat({ max: 20 }), (steps, a, b, count) => {
      const stream = new StreamValue();
      let model: StreamEntry[] = [];
      let ms = 0;
      for (const next of steps) {
        if (next.do === "add") {
          ms += next.by;
          const entry = { id: idOf(BigInt(ms), 0n), fields: ["field", String(ms)] };
          stream.add(entry.id, entry.fields, LIMITS);
          model.push(entry);
        } else if (next.do === "delete") {
          const id = idOf(BigInt(next.id), 0n);
          assert.equal(
            stream.delete(id),
            model.some((entry) => entry.id === id),
          );
          model = model.filter((entry) => entry.id !== id);
        } else if (next.do === "length") {
          const gone = stream.trim({ to: { length: next.length }, nearly: next.nearly, limit: undefined });
          assert.ok(gone <= Math.max(0, model.length - next.length));
          if (!next.nearly) assert.equal(gone, Math.max(0, model.length - next.length));
          model = model.slice(gone);
        } else {
          const from = idOf(BigInt(next.from), 0n);
          const gone = stream.trim({ to: { from }, nearly: false, limit: next.limit });
          assert.equal(gone, Math.min(next.limit, model.filter(({ id }) => id < from).length));
          model = model.slice(gone);
        }
      }
      const [from, to] = [idOf(BigInt(Math.min(a, b)), 0n), idOf(BigInt(Math.max(a, b)), 0n)];
      const between = model.filter(({ id }) => id >= from && id <= to);
      assert.deepEqual(stream.range(from, to, count), between.slice(0, count));
      assert.deepEqual(stream.rangeBackwards(from, to, count), between.toReversed().slice(0, count));
      assert.equal(stream.size, model.length);
      assert.deepEqual([stream.first, stream.last], [model[0], model.at(-1)]);
      for (const entry of model) assert.deepEqual(stream.get(entry.id), entry);
      assert.deepEqual(stream.copy().range(0n, idOf(1000n, 0n)), model);
    }),
  );
});

test("ids are read and written as they are, and nothing else is one", () => {
  for (const text of ["0-0", "1-2", "18446744073709551615-18446744073709551615"]) assert.equal(textOfId(parseId(text, 7n)!), text);
  assert.equal(textOfId(parseId("5", 7n)!), "5-7");
  for (const text of ["", "-", "a", "1-", "-1", "1-2-3", "1.5-0", "18446744073709551616-0", "+1-0", " 1-0"])
    assert.equal(parseId(text, 0n), undefined, text);
});
