import { parseArgs } from "node:util";
import { createRandom } from "../../src/base/random.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { crashOnce } from "./crash.ts";

// npm run test:store-crash -- [--rounds N] [--policy always|everysec|no] [--starved-by N] [--seed N]: kills a store under load again and again, and looks whether all is there.

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "500" },
    policy: { type: "string", default: "always" },
    /** Processes that keep the store's core busy. */
    "starved-by": { type: "string", default: "0" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
});
const policy = (["always", "everysec", "no"] as const).find((known) => known === values.policy);
if (policy === undefined) throw new Error("--policy is always, everysec or no");
const random = createRandom(Number(values.seed));
console.log(`policy ${policy}, ${values.rounds} rounds, seed ${values.seed}`);
let acknowledged = 0;
for (let round = 1; round <= Number(values.rounds); round++) {
  await using directory = await temporaryDirectory();
  acknowledged += await crashOnce({
    dataDir: directory.path,
    policy,
    random: () => random.next(),
    clients: 4,
    loadMsMax: policy === "always" ? 150 : 2500,
    starvedBy: Number(values["starved-by"]),
  });
  if (round % 25 === 0) console.log(`${round} kills, ${acknowledged} transactions acknowledged, none missing`);
}
console.log(`ok: ${values.rounds} kills, ${acknowledged} transactions acknowledged, none missing`);
