import assert from "node:assert/strict";
import { test } from "node:test";
import { formatContentRange, formatRange, parseContentRange, rangeOf } from "./range.ts";

const HUGE = "9".repeat(40);

test("a Range header selects bytes, is ignored, or cannot be met", () => {
  const table = [
    [undefined, 100, null],
    ["bytes=0-0", 100, [0, 1]],
    ["bytes=0-99", 100, [0, 100]],
    ["bytes=0-1000", 100, [0, 100]],
    ["bytes=10-", 100, [10, 90]],
    ["bytes=99-", 100, [99, 1]],
    ["bytes=-1", 100, [99, 1]],
    ["bytes=-1000", 100, [0, 100]],
    ["BYTES= 5-6 ", 100, [5, 2]],
    ["bytes=5-6,", 100, [5, 2]],
    [`bytes=5-${HUGE}`, 100, [5, 95]],
    [`bytes=-${HUGE}`, 100, [0, 100]],
    ["bytes=100-", 100, "unsatisfiable"],
    [`bytes=${HUGE}-`, 100, "unsatisfiable"],
    ["bytes=-0", 100, "unsatisfiable"],
    ["bytes=0-", 0, "unsatisfiable"],
    ["bytes=-5", 0, null],
    ["bytes=0-1,3-4", 100, null],
    ["bytes=6-5", 100, null],
    ["bytes=-", 100, null],
    ["bytes=", 100, null],
    ["bytes=a-b", 100, null],
    ["bytes=1 - 2", 100, null],
    ["bytes=+1-2", 100, null],
    ["bytes 1-2", 100, null],
    ["items=1-2", 100, null],
    ["", 100, null],
  ] as const;
  for (const [header, total, expected] of table) {
    const range = rangeOf(header, total);
    assert.deepEqual(range !== null && typeof range === "object" ? [range.start, range.length] : range, expected, `${header} of ${total}`);
  }
});

test("a Content-Range is read and written", () => {
  const range = { start: 10, length: 90 };
  assert.deepEqual(parseContentRange("bytes 10-99/200"), { kind: "range", range, totalBytes: 200 });
  assert.deepEqual(parseContentRange("bytes 10-99/*"), { kind: "range", range, totalBytes: undefined });
  assert.deepEqual(parseContentRange("bytes */200"), { kind: "unsatisfied", totalBytes: 200 });
  assert.equal(formatContentRange(range, 200), "bytes 10-99/200");
  assert.equal(formatContentRange(range, undefined), "bytes 10-99/*");
  assert.equal(formatContentRange(undefined, 200), "bytes */200");
  assert.equal(formatRange(range), "bytes=10-99");
});

test("a Content-Range that makes no sense is none", () => {
  const bad = [
    "bytes */*",
    "bytes 5-4/10",
    "bytes 0-10/10",
    "bytes 0-9",
    "bytes=0-9/10",
    "items 0-9/10",
    "bytes -9/10",
    `bytes 0-${HUGE}/*`,
    `bytes */${HUGE}`,
  ];
  for (const header of [undefined, "", ...bad]) assert.equal(parseContentRange(header), undefined, header);
});
