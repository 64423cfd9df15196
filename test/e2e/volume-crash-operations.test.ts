import assert from "node:assert/strict";
import { test } from "node:test";
import { apply, differences, type Files, type Operation } from "../volume/crash/operations.ts";

const files = (contents: Readonly<Record<string, string>>): Files =>
  new Map(Object.entries(contents).map(([name, text]) => [name, Buffer.from(text)]));

const BEFORE = { a: "aaaa", b: "bb" };
const after = (operation: Operation): Record<string, string> => {
  const all = files(BEFORE);
  apply(all, operation);
  return Object.fromEntries([...all].map(([name, bytes]) => [name, bytes.toString("latin1")]));
};

const RENAME: Operation = { do: "rename", name: "a", to: "b" };
const APPEND: Operation = { do: "append", name: "b", seed: 1, length: 3 };
const OVERWRITE: Operation = { do: "overwrite", name: "a", at: 1, seed: 1, length: 2 };
const REPLACE: Operation = { do: "replace", name: "a", seed: 1, length: 3 };

test("what was confirmed must be there, whole, and nothing else", () => {
  assert.deepEqual(differences(files(BEFORE), files(BEFORE), undefined), []);
  assert.deepEqual(differences(files({ a: "aaaa" }), files(BEFORE), undefined), ["b"]);
  assert.deepEqual(differences(files({ ...BEFORE, b: "bx" }), files(BEFORE), undefined), ["b"]);
  assert.deepEqual(differences(files({ ...BEFORE, c: "" }), files(BEFORE), undefined), ["c"]);
});

for (const operation of [
  RENAME,
  APPEND,
  OVERWRITE,
  REPLACE,
  { do: "truncate", name: "a", length: 1 },
  { do: "unlink", name: "b" },
] as const)
  test(`${operation.do} may have been cut off before it began, or when it was done`, () => {
    const found = new Map(Object.entries(after(operation)).map(([name, text]) => [name, Buffer.from(text, "latin1")]));
    assert.deepEqual(differences(files(BEFORE), files(BEFORE), operation), []);
    assert.deepEqual(differences(found, files(BEFORE), operation), []);
    assert.notDeepEqual(differences(found, files(BEFORE), undefined), [], "it is seen");
  });

test("only bytes that are written into a file may be there in part", () => {
  const appended = after(APPEND)["b"]!;
  assert.deepEqual(differences(files(BEFORE).set("b", Buffer.from(appended.slice(0, 4), "latin1")), files(BEFORE), APPEND), []);
  assert.deepEqual(differences(files({ ...BEFORE, b: "b" }), files(BEFORE), APPEND), ["b"], "what was there before stays");
  assert.deepEqual(differences(files({ ...BEFORE, b: "bb\0" }), files(BEFORE), APPEND), ["b"], "and nothing else comes");
  const half = Buffer.from(`${after(OVERWRITE)["a"]!.slice(0, 2)}aa`, "latin1");
  assert.deepEqual(differences(files(BEFORE).set("a", half), files(BEFORE), OVERWRITE), []);
  assert.deepEqual(differences(files({ ...BEFORE, a: "" }), files(BEFORE), REPLACE), ["a"], "a replaced file is the old or the new one");
  assert.deepEqual(differences(files({ b: "bb" }), files(BEFORE), RENAME), ["a"], "a renamed file is never gone");
  assert.deepEqual(differences(files({ a: "aaaa", b: "aaaa" }), files(BEFORE), RENAME), ["b"]);
});
