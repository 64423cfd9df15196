import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTap } from "../posix/tap.ts";

test("assertions of a suite are counted, those that were never reached as failed", () => {
  const text = "1..5\nok 1 - made\nnot ok 2 - tried 'mkdir x', expected 0, got EPERM\nnot ok 3 # todo later\n# a note\nok 4\n";
  assert.deepEqual(parseTap(text), {
    assertions: 5,
    failures: ["not ok 2 - tried 'mkdir x', expected 0, got EPERM", "not reached: assertion 5 of 5"],
  });
  assert.deepEqual(parseTap(""), { assertions: 0, failures: [] });
});
