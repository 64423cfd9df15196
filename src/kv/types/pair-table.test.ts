import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../base/random.ts";
import { hashOf } from "../keyspace/hash.ts";
import { PairTable } from "./pair-table.ts";

const set = (table: PairTable, field: string, value: string): boolean => {
  const bytes = Buffer.from(field + value, "latin1");
  return table.set(hashOf(bytes, 0, field.length), bytes, 0, field.length, bytes, field.length, value.length);
};

const find = (table: PairTable, field: string): number => {
  const bytes = Buffer.from(field, "latin1");
  return table.find(bytes, 0, bytes.length);
};

const fieldOf = (number: number): string => `${number}${"f".repeat(number % 97 === 0 ? 5000 : 0)}`;

/** Lengths short, long, and so long that it stays text. */
const LENGTHS = [0, 1, 3, 20, 300, 4096, 4097, 9000];

test("a table holds what a map holds, however long and however often it is changed", () => {
  const random = createRandom(3);
  const table = new PairTable();
  const model = new Map<string, string>();
  for (let i = 0; i < 60_000; i++) {
    const field = fieldOf(random.below(3000));
    if (random.below(3) === 0) {
      const position = find(table, field);
      assert.equal(position >= 0, model.delete(field));
      if (position >= 0) table.removeAt(position);
    } else {
      const value = String.fromCharCode(random.below(256)).repeat(LENGTHS[random.below(i % 50 === 0 ? LENGTHS.length : 5)]!);
      assert.equal(set(table, field, value), !model.has(field));
      model.set(field, value);
    }
    assert.equal(table.size, model.size);
  }
  for (const holder of [table, table.copy()]) {
    for (const [field, value] of model) assert.equal(holder.valueAt(find(holder, field)), value);
    const fields = Array.from({ length: holder.size }, (_, position) => holder.fieldAt(position));
    assert.deepEqual(fields.toSorted(), [...model.keys()].toSorted());
    assert.equal(holder.bytes, table.bytes);
  }
});

test("memory of replaced values is used again", () => {
  const table = new PairTable();
  for (let i = 0; i < 200_000; i++) set(table, String(i % 100), "v".repeat(i % 1000));
  assert.ok(table.bytes < 1024 * 1024, String(table.bytes));
});
