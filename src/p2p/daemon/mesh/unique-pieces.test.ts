import assert from "node:assert/strict";
import { test } from "node:test";
import { UniquePieces } from "./unique-pieces.ts";

const NEVER = new AbortController().signal;

test("a piece goes to who has waited longest, and to nobody else", async () => {
  const unique = new UniquePieces<string, string>(() => 0);
  unique.begin([]);
  const [first, second] = [unique.wait("first", NEVER), unique.wait("second", NEVER)];
  unique.add(7);
  unique.give((piece, neighbour) => Promise.resolve(`${piece} to ${neighbour}`));
  assert.equal(await first, "7 to first");
  assert.equal(unique.size, 0);
  unique.add(8);
  unique.give((piece, neighbour) => Promise.resolve(`${piece} to ${neighbour}`));
  assert.equal(await second, "8 to second");
});

test("who is being sent less comes before who has waited longer", async () => {
  const sending = new Map([
    ["slow", 2],
    ["quick", 1],
  ]);
  const unique = new UniquePieces<string, string>((neighbour) => sending.get(neighbour)!);
  unique.begin([1]);
  const [slow, quick] = [unique.wait("slow", NEVER), unique.wait("quick", NEVER)];
  const give = () => unique.give((piece) => Promise.resolve(`${piece}`));
  give();
  assert.equal(await quick, "1");
  unique.add(2);
  give();
  assert.equal(await slow, "2", "rather than nobody");
});

test("who has a piece waits for another one, which the next in line may get before", async () => {
  const unique = new UniquePieces<string, string>(() => 0);
  unique.begin([3]);
  const has = unique.wait("has it", NEVER);
  const lacks = unique.wait("lacks it", NEVER);
  const give = () => unique.give((piece, neighbour) => (neighbour === "has it" && piece === 3 ? undefined : Promise.resolve(`${piece}`)));
  give();
  assert.equal(await lacks, "3");
  unique.add(4);
  give();
  assert.equal(await has, "4");
});

test("while nothing can be given a piece and those who wait stay as they are", async () => {
  const unique = new UniquePieces<string, string>(() => 0);
  unique.begin([1]);
  const waits = unique.wait("a", NEVER);
  unique.give(() => "none");
  assert.ok(unique.has(1));
  unique.give(() => Promise.resolve("given"));
  assert.equal(await waits, "given");
});

test("who gives up, leaves, or waits when it is over is told so", async () => {
  const unique = new UniquePieces<string, string>(() => 0);
  unique.begin([]);
  const stop = new AbortController();
  const [quits, leaves, stays] = [unique.wait("quits", stop.signal), unique.wait("leaves", NEVER), unique.wait("stays", NEVER)];
  stop.abort();
  unique.left("leaves");
  unique.end();
  assert.deepEqual(await Promise.all([quits, leaves, stays]), ["gone", "gone", "elsewhere"]);
  assert.equal(unique.active, false);
});
