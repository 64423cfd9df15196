import assert from "node:assert/strict";
import { test } from "node:test";
import { array, assert as assertProperty, constantFrom, nat, property, record } from "fast-check";
import { AnaxError } from "../../base/errors.ts";
import { EMPTY_MAP, makeClaim, ownerOf, parseSlotMap, piecesOf, type Claim, type SlotMap } from "./slot-map.ts";
import { SLOT_COUNT } from "../keyspace/key-slot.ts";

const map: SlotMap = {
  epoch: 3,
  ranges: [
    { start: 0, end: 99, owner: "a", epoch: 1, by: "create" },
    { start: 200, end: 299, owner: "b", epoch: 3, by: "j/1" },
  ],
};

test("a claim changes all of its ranges, under the map's next epoch", () => {
  const ranges = [
    { start: 90, end: 99, epoch: 1 },
    { start: 100, end: 109, epoch: 0 },
  ];
  const made = makeClaim(map, { ranges, owner: "b", by: "j/2" });
  assert.equal(made.kind, "made");
  assert.deepEqual(made.map, {
    epoch: 4,
    ranges: [
      { start: 0, end: 89, owner: "a", epoch: 1, by: "create" },
      { start: 90, end: 109, owner: "b", epoch: 4, by: "j/2" },
      { start: 200, end: 299, owner: "b", epoch: 3, by: "j/1" },
    ],
  });
  assert.deepEqual(makeClaim(made.map, { ranges, owner: "b", by: "j/2" }).kind, "done");
});

test("a range remembers the move that brought its keys, as long as these stay in the shard", () => {
  const moved = makeClaim(map, { ranges: [{ start: 0, end: 9, epoch: 1 }], owner: "b", by: "j/2", keys: "moved" }).map;
  assert.deepEqual(moved.ranges[0], { start: 0, end: 9, owner: "b", epoch: 4, by: "j/2", movedAt: 4 });
  const own = moved.ranges.filter(({ owner }) => owner === "b");
  const movedAtAfter = (claim: Partial<Claim>): readonly (number | undefined)[] => {
    const { ranges } = makeClaim(moved, { ranges: own, owner: "b", by: "x", ...claim }).map;
    return ranges.filter(({ by }) => by === "x").map(({ movedAt }) => movedAt);
  };
  assert.deepEqual(movedAtAfter({}), [4, undefined], "it starts anew");
  assert.deepEqual(movedAtAfter({ owner: "its replica" }), [4, undefined]);
  assert.deepEqual(movedAtAfter({ keys: "levelled" }), [4, 4]);
  assert.deepEqual(movedAtAfter({ owner: "c", keys: "moved" }), [5, 5]);
  assert.deepEqual(movedAtAfter({ owner: "", keys: "written" }), [undefined, undefined]);
  const neighbours = makeClaim(moved, {
    ranges: [
      { start: 0, end: 9, epoch: 4 },
      { start: 10, end: 99, epoch: 1 },
    ],
    owner: "b",
    by: "x",
  }).map;
  assert.equal(neighbours.ranges.length, 3, "what came differently is not joined");
  assert.deepEqual(parseSlotMap(JSON.stringify(neighbours)), neighbours);
});

test("a claim of which one range has another epoch by now changes nothing", () => {
  const ranges = [
    { start: 0, end: 9, epoch: 1 },
    { start: 200, end: 209, epoch: 2 },
  ];
  assert.deepEqual(makeClaim(map, { ranges, owner: "c", by: "j/2" }), { kind: "refused", map });
  assert.equal(makeClaim(map, { ranges: [{ start: 95, end: 105, epoch: 1 }], owner: "c", by: "x" }).kind, "refused"); // half of it is nobody's
});

test("neighbours with different owners stay apart, whatever made them", () => {
  const first: SlotMap = {
    epoch: 1,
    ranges: [
      { start: 0, end: 1, owner: "a", epoch: 1, by: "create" },
      { start: 2, end: 3, owner: "b", epoch: 1, by: "create" },
    ],
  };
  const { map: next } = makeClaim(first, { ranges: [{ start: 3, end: 3, epoch: 1 }], owner: "c", by: "j/1" });
  assert.deepEqual(
    [0, 1, 2, 3].map((slot) => ownerOf(next, slot)),
    ["a", "a", "b", "c"],
  );
});

test("whatever is claimed, each slot has one owner, and only claimed slots change theirs", () => {
  const slot = nat(31);
  const claims = array(record({ a: slot, b: slot, owner: constantFrom("a", "b", "c") }), { maxLength: 20 });
  assertProperty(
    property(claims, (list) => {
      let now = EMPTY_MAP;
      const owners = Array.from({ length: 32 }, () => "");
      for (const [index, { a, b, owner }] of list.entries()) {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        const ranges = piecesOf(now, [{ start, end }]);
        const outcome = makeClaim(now, { ranges, owner, by: `c/${index}` });
        assert.equal(outcome.kind, "made");
        owners.fill(owner, start, end + 1);
        now = parseSlotMap(JSON.stringify(outcome.map));
        assert.deepEqual(
          owners.map((_, at) => ownerOf(now, at)),
          owners,
        );
      }
    }),
  );
});

for (const [what, text] of Object.entries({
  "not JSON": "{",
  "another's": '{"epoch":1}',
  overlaps: JSON.stringify({ epoch: 1, ranges: [0, 0].map((start) => ({ start, end: 1, owner: "a", epoch: 1, by: "" })) }),
  "beyond the slots": JSON.stringify({ epoch: 1, ranges: [{ start: 0, end: SLOT_COUNT, owner: "a", epoch: 1, by: "" }] }),
  "moved later than changed": JSON.stringify({ epoch: 3, ranges: [{ start: 0, end: 1, owner: "a", epoch: 2, by: "", movedAt: 3 }] }),
  "newer than itself": JSON.stringify({ epoch: 1, ranges: [{ start: 0, end: 1, owner: "a", epoch: 2, by: "" }] }),
}))
  test(`a map that is ${what} is refused`, () => {
    assert.throws(
      () => parseSlotMap(text),
      (error) => error instanceof AnaxError && error.code === "register.invalid",
    );
  });
