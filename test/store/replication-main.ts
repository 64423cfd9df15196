import { parseArgs } from "node:util";
import { createRandom } from "../../src/base/random.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { faultRound } from "./replication-faults.ts";

// npm run test:store-replication -- [--rounds N] [--seed N]: a primary and a replica under load, with faults to both and to what is between them, again and again.

const FAULTS = 6;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "50" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
});
const seed = Number(values.seed);
let acknowledged = 0;
let reads = 0;
for (let round = 0; round < Number(values.rounds); round++) {
  await using directory = await temporaryDirectory();
  console.log(`round ${round + 1}, --rounds 1 --seed ${seed + round}`);
  const outcome = await faultRound({ directory: directory.path, random: createRandom(seed + round), faults: FAULTS });
  acknowledged += outcome.acknowledged;
  reads += outcome.reads;
  console.log(`  ${outcome.faults.join(", ")}; ${outcome.acknowledged} transactions, ${outcome.reads} looks at the replica`);
}
console.log(`ok: ${values.rounds} rounds, ${acknowledged} transactions acknowledged, ${reads} looks at the replica, all of them whole`);
