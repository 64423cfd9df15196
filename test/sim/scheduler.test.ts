import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../src/base/random.ts";
import { SchedulerModel, type Scenario } from "./scheduler-model.ts";

const SEEDS = Number(process.env["ANAX_SIM_SEEDS"] ?? 200);

/** Everything goes wrong that can, in amounts that the seed decides. */
function roughScenario(seed: number): Scenario {
  const random = createRandom(seed);
  const seeds = random.below(4);
  return {
    seed,
    daemons: 3 + random.below(7),
    seeds,
    pieces: 1 + random.below(120),
    foreign: random.below(3),
    crashes: random.below(4),
    brokenSeeds: random.below(seeds + 1),
    restarts: random.below(3) === 0 ? 1 : 0,
    pieceFailures: random.below(3) === 0 ? 20 : 0,
  };
}

async function simulate(scenario: Scenario): Promise<SchedulerModel> {
  const model = new SchedulerModel(scenario);
  try {
    await model.run();
  } catch (error) {
    throw new Error(`seed ${scenario.seed}: ${JSON.stringify(scenario)}`, { cause: error });
  }
  return model;
}

test(`every living peer gets the content in ${SEEDS} rough clusters`, async () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const model = await simulate(roughScenario(seed));
    const wrong = model.outcomes().filter(({ outcome }) => outcome !== "succeeded");
    assert.deepEqual(wrong, [], `seed ${seed}: ${JSON.stringify(model.scenario)}`);
  }
});

test("without faults the source gives each piece exactly once", async () => {
  for (let seed = 0; seed < SEEDS / 4; seed++) {
    const model = await simulate({ ...roughScenario(seed), crashes: 0, brokenSeeds: 0, restarts: 0, pieceFailures: 0 });
    const once = Array.from({ length: model.scenario.pieces }, (_, index) => index);
    assert.deepEqual(
      model.sourcePieces.toSorted((a, b) => a - b),
      once,
      `seed ${seed}`,
    );
  }
});

test("a scheduler that restarts sends nobody to the source again", async () => {
  for (let seed = 0; seed < SEEDS / 4; seed++) {
    const faultless = { crashes: 0, brokenSeeds: 0, foreign: 0, pieceFailures: 0 };
    const model = await simulate({ ...roughScenario(seed), ...faultless, restarts: 1 });
    assert.ok(model.outcomes().every(({ outcome }) => outcome === "succeeded"));
    assert.equal(model.sourcePieces.length, model.scenario.pieces, `seed ${seed}: ${JSON.stringify(model.scenario)}`);
  }
});

test("a tenth of the hosts dies and the scheduler is away for half a minute: who lives has the content soon after", async () => {
  for (let seed = 0; seed < SEEDS / 10; seed++) {
    const faults = { crashes: 3, brokenSeeds: 0, pieceFailures: 0, restarts: 1, downMs: 30_000 };
    const model = await simulate({ ...roughScenario(seed), daemons: 30, ...faults });
    const wrong = model.outcomes().filter(({ outcome }) => outcome !== "succeeded");
    assert.deepEqual(wrong, [], `seed ${seed}: ${JSON.stringify(model.scenario)}`);
    // Of the readers at most all that died were replaced, and none read again what was safe with another.
    assert.ok(model.sourcePieces.length <= model.scenario.pieces * 2, `seed ${seed}: ${model.sourcePieces.length} pieces were read`);
  }
});

test("a source that says 404 is asked once, and everybody is told", async () => {
  const model = await simulate({
    ...roughScenario(1),
    daemons: 8,
    seeds: 0,
    foreign: 0,
    crashes: 0,
    restarts: 0,
    pieceFailures: 0,
    sourceStatus: 404,
  });
  assert.ok(model.outcomes().length === 8 && model.outcomes().every(({ outcome }) => outcome === "failed"));
});
