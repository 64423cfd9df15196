import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDragonflyConfig } from "./dragonfly-config.ts";

const node = (id: string) => ({ id, ip: "10.0.0.1", port: 7000 });
const range = (start: number, end: number) => ({ start, end });
const move = (to: string, ...slots: readonly object[]) => ({ node_id: to, ip: "10.0.0.3", port: 7000, slot_ranges: slots });

/** Two shards, what is said of the first one changed. */
const config = (first: object, second: object = {}): unknown[] => [
  { slot_ranges: [range(0, 8191)], master: node("a"), replicas: [], ...first },
  { slot_ranges: [range(8192, 16_383)], master: node("b"), replicas: [], ...second },
];

for (const [what, value, isTaken] of [
  ["shares all slots", config({}), true],
  ["moves slots of its own to another master", config({ migrations: [move("b", range(4096, 8191), range(0, 5))] }), true],
  ["tells of health", config({ master: { ...node("a"), health: "loading" } }), true],
  ["knows another health", config({ master: { ...node("a"), health: "well" } }), false],
  ["leaves a slot out", config({ slot_ranges: [range(1, 8191)] }), false],
  ["gives a slot twice", config({ slot_ranges: [range(0, 8192)] }), false],
  ["has a range that is turned round", config({ slot_ranges: [range(8191, 0)] }), false],
  ["has a slot that there is not", config({}, { slot_ranges: [range(8192, 16_384)] }), false],
  ["has one master twice", config({ master: node("b") }), false],
  ["has one replica twice", config({ replicas: [node("c"), node("c")] }), false],
  ["moves slots to themselves", config({ migrations: [move("a", range(0, 5))] }), false],
  ["moves slots to nobody's master", config({ migrations: [move("c", range(0, 5))] }), false],
  ["has two moves between the same two", config({ migrations: [move("b", range(0, 5)), move("b", range(7, 9))] }), false],
  ["moves nothing", config({ migrations: [move("b")] }), false],
  ["moves what is not its own", config({ migrations: [move("b", range(8000, 8192))] }), false],
  ["moves a slot twice", config({ migrations: [move("b", range(0, 5), range(5, 6))] }), false],
  ["names all slots over and over", config({ slot_ranges: Array.from({ length: 16_384 }, () => range(0, 16_383)) }), false],
  ["moves all slots over and over", config({ migrations: [move("b", ...Array.from({ length: 16_384 }, () => range(0, 16_383)))] }), false],
  ["has a master without a port", config({ master: { id: "a", ip: "10.0.0.1" } }), false],
  ["says nothing of replicas", config({ replicas: undefined }), false],
  ["is no list", {}, false],
] as const)
  test(`a configuration that ${what} is ${isTaken ? "taken" : "refused"}`, () => {
    assert.equal(parseDragonflyConfig(JSON.stringify(value)) !== undefined, isTaken);
  });

test("what is no JSON is refused", () => assert.equal(parseDragonflyConfig("[{"), undefined));
