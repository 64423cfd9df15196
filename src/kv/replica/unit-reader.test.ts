import assert from "node:assert/strict";
import { test } from "node:test";
import { commandBytes } from "../propagation.ts";
import { UnitReader } from "./unit-reader.ts";

const COMMANDS = [["SET", "a", "x".repeat(100)], ["MULTI"], ["SET", "b", "\r\n$3\r\n"], ["SET", "multi", ""], ["EXEC"], ["PING"]];
const UNITS = [COMMANDS.slice(0, 1), COMMANDS.slice(1, 5), COMMANDS.slice(5)];

/** Units as texts, each with its own bytes. */
function unitsOf(pieces: readonly Buffer[]): [readonly (readonly string[])[], string][] {
  const reader = new UnitReader();
  const units: [string[][], string][] = [];
  for (const piece of pieces) {
    reader.push(Buffer.from(piece));
    for (let unit = reader.next(); unit !== undefined; unit = reader.next())
      units.push([unit.requests.map((request) => request.texts()), unit.bytes.toString("latin1")]);
  }
  assert.equal(reader.heldBytes, 0);
  return units;
}

test("a stream is cut into commands and transactions, whatever pieces it comes in", () => {
  const bytes = Buffer.concat(COMMANDS.map((command) => commandBytes(...command)));
  const expected = UNITS.map((unit) => [unit, Buffer.concat(unit.map((command) => commandBytes(...command))).toString("latin1")]);
  for (let first = 0; first <= bytes.length; first++)
    for (const second of [first, first + 1, (first + bytes.length) >> 1])
      assert.deepEqual(unitsOf([bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]), expected);
  assert.deepEqual(unitsOf(Array.from(bytes, (byte) => Buffer.of(byte))), expected);
});

test("what is no command is refused", () => {
  for (const text of ["+OK\r\n", "*1\r\n:1\r\n", "*0\r\n", "#TS:1\r\n"]) {
    const reader = new UnitReader();
    reader.push(Buffer.from(text));
    assert.throws(() => reader.next(), /no command/);
  }
});
