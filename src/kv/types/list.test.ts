import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { List, type End } from "./list.ts";

const end = fc.constantFrom<End>("left", "right");
const anElement = fc.integer({ min: 0, max: 9 }).map(String);
const index = fc.integer({ min: -700, max: 700 });
const step = fc.oneof(
  fc.record({ do: fc.constant("push" as const), end, count: fc.integer({ min: 1, max: 300 }), element: anElement }),
  fc.record({ do: fc.constant("pop" as const), end, count: fc.integer({ min: 1, max: 20 }) }),
  fc.record({ do: fc.constant("set" as const), index, element: anElement }),
  fc.record({
    do: fc.constant("insert" as const),
    side: fc.constantFrom("before" as const, "after" as const),
    pivot: anElement,
    element: anElement,
  }),
  fc.record({ do: fc.constant("drop" as const), end, count: fc.integer({ min: 0, max: 200 }) }),
  fc.record({ do: fc.constant("remove" as const), element: anElement, end, max: fc.integer({ min: 1, max: 100 }) }),
);

const contentOf = (list: List): string[] => {
  const content: string[] = [];
  list.each(0, list.size, (each) => content.push(each));
  return content;
};

const pushBytes = (list: List, at: End, element: string): void => {
  const bytes = Buffer.from(`<${element}>`, "latin1");
  list.pushBytes(at, bytes, 1, element.length);
};

const framed = (element: string): string => `$${element.length}\r\n${element}\r\n`;

/** All elements as they are sent. */
function sentOf(list: List): string {
  let sent = "";
  list.read(0, list.size, {
    text: (element) => (sent += framed(element)),
    packed: (bytes, from, to) => (sent += bytes.toString("latin1", from, to)),
  });
  return sent;
}

test("a list does what an array does, whatever is done to it", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), index, (steps, probe) => {
      const list = new List();
      let model: string[] = [];
      for (const each of steps) {
        switch (each.do) {
          case "push":
            for (let i = 0; i < each.count; i++) {
              const pushed = String((Number(each.element) + i) % 10);
              if (each.count % 2 === 0) list.push(each.end, pushed);
              else pushBytes(list, each.end, pushed);
              if (each.end === "left") model.unshift(pushed);
              else model.push(pushed);
            }
            break;
          case "pop":
            for (let i = 0; i < each.count; i++) assert.equal(list.pop(each.end), each.end === "left" ? model.shift() : model.pop());
            break;
          case "set": {
            const at = each.index < 0 ? model.length + each.index : each.index;
            const there = at >= 0 && at < model.length;
            assert.equal(list.set(each.index, each.element), there);
            if (there) model[at] = each.element;
            break;
          }
          case "insert": {
            const at = model.indexOf(each.pivot);
            assert.equal(list.insert(each.side, each.pivot, each.element), at >= 0);
            if (at >= 0) model.splice(each.side === "before" ? at : at + 1, 0, each.element);
            break;
          }
          case "drop":
            list.drop(each.end, each.count);
            model = each.end === "left" ? model.slice(each.count) : model.slice(0, Math.max(0, model.length - each.count));
            break;
          case "remove": {
            const all = model.flatMap((value, at) => (value === each.element ? [at] : []));
            const gone = new Set(each.end === "left" ? all.slice(0, each.max) : all.slice(-each.max));
            assert.equal(list.remove(each.element, each.end, each.max), gone.size);
            model = model.filter((_, at) => !gone.has(at));
            break;
          }
        }
      }
      assert.equal(list.size, model.length);
      assert.deepEqual(contentOf(list), model);
      assert.deepEqual(contentOf(list.copy()), model);
      assert.equal(sentOf(list), model.map(framed).join(""));
      assert.equal(list.at(probe), model.at(probe));
      const emptied = list.copy();
      emptied.drop("left", model.length);
      assert.equal(emptied.bytes, new List().bytes);
    }),
    { numRuns: 300 },
  );
});

test("positions are found from either end, some left out, within so many elements", () => {
  const list = new List();
  const model = Array.from({ length: 500 }, (_, i) => String(i % 7));
  for (const value of model) list.push("right", value);
  const all = model.flatMap((value, at) => (value === "3" ? [at] : []));
  const every = { skip: 0, max: Infinity, comparisonsMax: Infinity };
  assert.deepEqual(list.positions("3", "left", every), all);
  assert.deepEqual(list.positions("3", "right", every), all.toReversed());
  assert.deepEqual(list.positions("3", "left", { skip: 2, max: 3, comparisonsMax: Infinity }), all.slice(2, 5));
  assert.deepEqual(list.positions("3", "right", { ...every, comparisonsMax: 100 }), all.filter((at) => at >= 400).toReversed());
});

test("what lies in the middle of a long list is packed, whatever its bytes are, and a part of it is read without unpacking", () => {
  const list = new List();
  const model = Array.from({ length: 2000 }, (_, i) => `\r\n\xff${"x".repeat(i % 130)}${i}`);
  for (const element of model) list.push("right", element);
  const plain = model.reduce((sum, element) => sum + element.length + 24, 0);
  assert.ok(list.bytes < plain);
  let packed = 0;
  let sent = "";
  list.read(300, 1000, {
    text: (element) => (sent += framed(element)),
    packed: (bytes, from, to) => {
      packed += to - from;
      sent += bytes.toString("latin1", from, to);
    },
  });
  assert.equal(sent, model.slice(300, 1300).map(framed).join(""));
  assert.equal(packed, sent.length);
  assert.equal(list.at(777), model[777]);
  while (list.size > 0) assert.equal(list.pop("left"), model.shift());
  assert.equal(list.bytes, new List().bytes);
});

test("elements of any length are pushed as bytes, and a copy does not see what follows", () => {
  for (const at of ["left", "right"] as const) {
    const list = new List();
    const model: string[] = [];
    const push = (element: string): void => {
      pushBytes(list, at, element);
      if (at === "left") model.unshift(element);
      else model.push(element);
    };
    for (let i = 0; i < 1000; i++) push("e".repeat((i * 7919) % (i % 200 === 0 ? 100_000 : 300)));
    const copy = list.copy();
    const before = [...model];
    for (let i = 0; i < 100; i++) push(String(i));
    for (let i = 0; i < 100; i++) pushBytes(copy, at, "other");
    copy.drop(at, 100);
    assert.deepEqual(contentOf(list), model);
    assert.deepEqual(contentOf(copy), before);
    assert.equal(sentOf(list), model.map(framed).join(""));
    assert.equal(list.bytes > 0, true);
    for (let i = 0; i < 1100; i++) assert.equal(list.pop(at), at === "left" ? model.shift() : model.pop());
    assert.equal(list.size, 0);
  }
});

test("what is pushed to a long list stays packed, whether a chunk is full of few large elements or of many short ones", () => {
  for (const [bytes, count] of [
    [512, 1000],
    [3, 20_000],
  ] as const) {
    const list = new List();
    const element = "e".repeat(bytes);
    for (let i = 0; i < count; i++) pushBytes(list, "left", element);
    let texts = 0;
    list.read(0, count, { text: () => texts++, packed: () => {} });
    assert.ok(texts <= 128, `${texts} texts`); // of the chunk that it began with
    const chunkBytes = list.bytes - count * (bytes + 7);
    assert.ok(chunkBytes < count * bytes, `${chunkBytes} bytes besides`);
    for (let i = 0; i < count; i++) assert.equal(list.pop(i % 3 === 0 ? "left" : "right"), element);
    assert.equal(list.size, 0);
  }
});

test("what deleted lists lay in is used again, and neither a copy nor a list that goes on notices", () => {
  const filled = (letter: string): List => {
    const list = new List();
    for (let i = 0; i < 2000; i++) pushBytes(list, i % 2 === 0 ? "left" : "right", letter.repeat(500));
    return list;
  };
  const all = (list: List, letter: string): boolean => list.size === 2000 && contentOf(list).every((each) => each === letter.repeat(500));
  const [first, second, third] = [filled("a"), filled("b"), filled("c")];
  const copy = first.copy();
  assert.ok(first.release() >= 1_000_000);
  assert.ok(second.release() >= 1_000_000);
  assert.deepEqual([first.size, contentOf(first), first.pop("left")], [0, [], undefined]);
  const later = [filled("d"), filled("e"), filled("f")];
  assert.deepEqual(
    [copy, third, ...later].map((list, i) => all(list, "acdef"[i]!)),
    [true, true, true, true, true],
  );
  third.drop("left", 1990);
  assert.equal(all(filled("g"), "g"), true);
  assert.deepEqual(contentOf(third), Array(10).fill("c".repeat(500)));
  pushBytes(first, "left", "again");
  assert.deepEqual(contentOf(first), ["again"]);
});
