import assert from "node:assert/strict";
import { test } from "node:test";
import { array, assert as check, bigInt, constantFrom, integer, nat, oneof, property, record, string } from "fast-check";
import { SetValue } from "./set-value.ts";

const INT_SET_MAX = 20;

const membersOf = (set: SetValue): string[] => Array.from({ length: set.size }, (_, position) => set.at(position)).toSorted();

test("a set holds what a set of JavaScript holds after any operations", () => {
  const small = integer({ min: -40, max: 40 }).map(String);
  const large = bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
  const any = oneof(small, string({ maxLength: 4 }), constantFrom("007", "-0", "1.5", "9223372036854775808", " 1"));
  for (const member of [small, integer({ min: -(10 ** 15) + 1, max: 10 ** 15 - 1 }).map(String), oneof(small, large), any]) {
    const operation = record({ do: constantFrom("add", "add", "add", "remove", "removeAt"), member, position: nat() });
    check(
      property(array(operation, { maxLength: 150, size: "max" }), (operations) => {
        let set = new SetValue();
        const model = new Set<string>();
        for (const step of operations) {
          if (step.do === "add") {
            assert.equal(set.add(step.member, INT_SET_MAX), !model.has(step.member));
            model.add(step.member);
          } else if (step.do === "remove") assert.equal(set.remove(step.member), model.delete(step.member));
          else if (set.size > 0) {
            const position = step.position % set.size;
            assert.ok(model.delete(set.at(position)));
            set.removeAt(position);
          }
          assert.equal(set.size, model.size);
          assert.equal(set.has(step.member), model.has(step.member));
        }
        const before = set;
        set = set.copy();
        before.add("another", INT_SET_MAX);
        assert.equal(set.has("another"), model.has("another"));
        assert.deepEqual(membersOf(set), [...model].toSorted());
      }),
    );
  }
});

test("the encoding is what Redis 7.0 names it", () => {
  const rows: readonly (readonly [readonly string[], string])[] = [
    [["1", "2"], "intset"],
    [["-9223372036854775808", "9223372036854775807"], "intset"],
    [["9223372036854775808"], "hashtable"],
    [["01"], "hashtable"],
    [["1", "a"], "hashtable"],
    [Array.from({ length: INT_SET_MAX }, (_, i) => String(i)), "intset"],
    [Array.from({ length: INT_SET_MAX + 1 }, (_, i) => String(i)), "hashtable"],
  ];
  for (const [members, encoding] of rows) {
    const set = new SetValue();
    for (const member of members) set.add(member, INT_SET_MAX);
    assert.equal(set.encoding, encoding, members.join(" "));
    assert.deepEqual(membersOf(set), [...members].toSorted());
  }
});

test("few integers are in their order", () => {
  const set = new SetValue();
  for (const member of ["5", "-3", "9007199254740993", "0", "-9007199254740993", "10"]) set.add(member, 512);
  assert.deepEqual([...set.parts()], ["-9007199254740993", "-3", "0", "5", "10", "9007199254740993"]);
});

test("a large set of integers takes a fraction of what strings take", () => {
  const [integers, strings] = [new SetValue(), new SetValue()];
  for (let i = 0; i < 100_000; i++) {
    integers.add(String(i * 7919), 512);
    strings.add(`m${i * 7919}`, 512);
  }
  assert.ok(integers.bytes < 22 * 100_000, `${integers.bytes} bytes`);
  assert.ok(strings.bytes > 2 * integers.bytes, `${strings.bytes} bytes`);
  for (let i = 0; i < 99_990; i++) assert.ok(integers.remove(String(i * 7919)));
  assert.equal(integers.size, 10);
  assert.ok(integers.bytes < 4096, `${integers.bytes} bytes are left`);
});
