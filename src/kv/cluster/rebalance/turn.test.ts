import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock } from "../../../base/clock.ts";
import { createRandom } from "../../../base/random.ts";
import { openRegister } from "../../../register/open-register.ts";
import { FailedMoves } from "./failed-moves.ts";
import { readTurn, Turn } from "./turn.ts";
import { readWeights, setWeights } from "./weights.ts";

const open = () => openRegister("sqlite::memory:", { clock: realClock });
const LENGTH_MS = 1000;

test("one node has the turn while it asks for it; another one goes on when it is gone, and knows that it was begun", async () => {
  await using register = await open();
  let nowMs = 0;
  const now = (): number => nowMs;
  const [a, b] = [new Turn(register, "a"), new Turn(register, "b")];
  assert.equal(await a.take("c", LENGTH_MS, now), true);
  assert.equal(await b.take("c", LENGTH_MS, now), false);
  assert.equal(await a.tell({ active: true, state: "moves under way: 1" }, now), true);
  for (; nowMs < 5000; nowMs += 300) {
    assert.equal(await a.take("c", LENGTH_MS, now), true);
    assert.equal(await b.take("c", LENGTH_MS, now), false);
  }
  nowMs = 4800 + 1100; // it was renewed at 4800
  assert.equal(await b.take("c", LENGTH_MS, now), false);
  nowMs += 1;
  assert.equal(a.holds(nowMs), false);
  assert.equal(await b.take("c", LENGTH_MS, now), true);
  assert.deepEqual([b.record.runner, b.record.active, b.record.state], ["b", true, "moves under way: 1"]);
  assert.equal(await a.tell({ active: false, state: "balanced" }, now), false); // it comes too late
  assert.equal(await a.take("c", LENGTH_MS, now), false);
  await b.leave(now);
  assert.equal(await a.take("c", LENGTH_MS, now), true); // nobody has to wait
  assert.equal((await readTurn(register, "c")).runner, "a");
  assert.equal((await readTurn(register, "another")).runner, "");
});

test("never do two nodes believe that it is their turn, whenever they ask, stop and go on", async () => {
  for (let seed = 0; seed < 60; seed++) {
    await using register = await open();
    const random = createRandom(seed);
    let nowMs = 0;
    const now = (): number => nowMs;
    const turns = ["a", "b", "c"].map((id) => new Turn(register, id));
    let held = 0;
    for (let step = 0; step < 80; step++) {
      nowMs += random.below(random.below(10) === 0 ? 3000 : 400);
      const turn = turns[random.below(3)]!;
      if (random.below(20) === 0) await turn.leave(now);
      else await turn.take("c", LENGTH_MS, now);
      const holders = turns.filter((one) => one.holds(nowMs)).length;
      assert.ok(holders <= 1, `seed ${seed}`);
      held += holders;
    }
    assert.ok(held > 0);
  }
});

test("weights are kept by shard, and those of shards that are gone are not", async () => {
  await using register = await open();
  await setWeights(register, "c", { x: 0, y: 2.5 }, new Set(["x", "y"]));
  assert.deepEqual(await readWeights(register, "c"), { x: 0, y: 2.5 });
  await setWeights(register, "c", { z: 3, x: 1 }, new Set(["x", "z"]));
  assert.deepEqual(await readWeights(register, "c"), { z: 3 });
});

test("after a failure the same two nodes rest, twice as long each time, until a move succeeds", () => {
  let owner = "a";
  const failures = new FailedMoves(() => owner);
  const move = { from: "a", to: "b", ranges: [{ start: 0, end: 9 }] };
  const rests: number[] = [];
  for (let nowMs = 0, times = 0; times < 9; times++) {
    failures.begun(move);
    assert.equal(failures.after([move], nowMs).size, 0); // under way
    const begunMs = nowMs;
    while (failures.after([], nowMs).has("a b")) nowMs += 1000;
    rests.push(nowMs - begunMs);
  }
  assert.deepEqual(rests, [5000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]);
  failures.begun(move);
  owner = "b";
  assert.equal(failures.after([], 0).size, 0);
});
