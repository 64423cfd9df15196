import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeRegister, placesFollowTime, type Call } from "./linearizability.ts";

const call = (kind: Call["kind"], value: string | undefined, callMs: number, returnMs: number): Call => ({ kind, value, callMs, returnMs });

for (const [what, calls, verdict] of [
  ["reads what was written", [call("set", "a", 0, 1), call("get", "a", 2, 3)], "ok"],
  ["reads what was overwritten before it began", [call("set", "a", 0, 1), call("set", "b", 2, 3), call("get", "a", 4, 5)], "violation"],
  ["reads either of two writes that overlap", [call("set", "a", 0, 9), call("set", "b", 1, 9), call("get", "a", 10, 11)], "ok"],
  [
    "reads one and then the other, and then the first again",
    [call("set", "a", 0, 9), call("set", "b", 1, 9), call("get", "a", 10, 11), call("get", "b", 12, 13)],
    "violation",
  ],
  [
    "finds a write whose answer was lost",
    [call("set", "a", 0, 1), call("set", "b", 2, Infinity), call("get", "a", 3, 4), call("get", "b", 50, 51)],
    "ok",
  ],
  [
    "loses a write that was found before",
    [call("set", "b", 2, Infinity), call("get", "b", 3, 4), call("get", undefined, 5, 6)],
    "violation",
  ],
  ["forgets what was deleted", [call("set", "a", 0, 1), call("del", undefined, 2, 3), call("get", "a", 4, 5)], "violation"],
  ["loses a write that was answered", [call("set", "a", 0, 1), call("get", undefined, 2, 3)], "violation"],
] as const)
  test(`who ${what}: ${verdict}`, () => assert.equal(judgeRegister(calls), verdict));

test("many calls at once are judged", () => {
  const calls: Call[] = [];
  for (let round = 0; round < 200; round++) {
    for (let client = 0; client < 3; client++) calls.push(call("set", `${round}/${client}`, 10 * round + client, 10 * round + 8));
    calls.push(call("get", `${round}/1`, 10 * round + 8.5, 10 * round + 9));
  }
  assert.equal(judgeRegister(calls), "ok");
  assert.equal(judgeRegister([...calls, call("get", "0/1", 9000, 9001)]), "violation");
});

test("what ended before another began comes first", () => {
  assert.equal(
    placesFollowTime([
      { place: 1, callMs: 0, returnMs: 5 },
      { place: 2, callMs: 1, returnMs: 2 },
    ]),
    true,
  );
  assert.equal(
    placesFollowTime([
      { place: 2, callMs: 0, returnMs: 1 },
      { place: 1, callMs: 2, returnMs: 3 },
    ]),
    false,
  );
});
