import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import { headersOf } from "../options.ts";
import { formatPayload } from "../progress.ts";
import { pathBelow, wanted } from "./directory.ts";
import { outputBelow } from "./output.ts";
import { OPEN_END, parseByteRange } from "./range.ts";

const refused = (work: () => unknown): void => assert.throws(work, (error) => error instanceof AnaxError && error.code === "input.invalid");

test("a range is first-last with both included, open at the end, or the last bytes", () => {
  assert.deepEqual(parseByteRange("0-1023"), { start: 0, length: 1024 });
  assert.deepEqual(parseByteRange("bytes=5-5"), { start: 5, length: 1 });
  assert.deepEqual(parseByteRange("7-"), { start: 7, length: OPEN_END });
  assert.deepEqual(parseByteRange("-512"), { lastBytes: 512 });
  for (const bad of ["", "-", "-0", "5", "9-2", "a-b", "0-1,3-4", "99999999999999999-"]) refused(() => parseByteRange(bad));
});

test("no name in a source leads out of the output directory", () => {
  assert.equal(outputBelow("/out", "a/b.bin"), "/out/a/b.bin");
  for (const bad of ["../b", "a/../../b", "/..", "", "x\0y", ".."]) refused(() => outputBelow("/out", bad));
});

test("paths below a URL are decoded, and globs choose among them", () => {
  assert.equal(pathBelow("s3://b/dir/", "s3://b/dir/a%20b/c.txt"), "a b/c.txt");
  assert.equal(pathBelow("s3://b/dir/", "s3://b/dir/100%"), "100%");
  assert.ok(wanted("a/b.txt", []));
  assert.ok(wanted("a/b.txt", ["a/*.txt"]) && wanted("a/b/c", ["a/"]));
  assert.ok(!wanted("a/b.txt", ["c/"]));
});

test("headers are Name: value, and a line break in one is refused", () => {
  assert.deepEqual(headersOf(["Authorization: Bearer x", "X-A:"]), { Authorization: "Bearer x", "X-A": "" });
  for (const bad of ["no colon", "A: b\r\nC: d", ": x", "A b: c"]) refused(() => headersOf([bad]));
});

test("the progress line says how much, how fast, how long and from where", () => {
  const state = { totalBytes: 4096, doneBytes: 1024, fromPeersBytes: 0, fromSourceBytes: 1024 };
  assert.match(formatPayload({ ...state, waitingForDaemon: true }, 1000), /waiting for the daemon/);
  const line = formatPayload({ totalBytes: 4096, doneBytes: 1024, fromPeersBytes: 1024, fromSourceBytes: 0 }, 1000);
  assert.equal(line, "1.00 KiB/4.00 KiB | 1.00 KiB/s | 3.0 s left | peers 1.00 KiB, source 0 B");
});
