import { test } from "node:test";
import { storeAgainstModel } from "../incidents/store-model.ts";

// `npm run test:incidents -- random-operations` does it with a thousand and more.
const SEEDS = 40;

test("whatever is done to a store, nothing in use is lost and the quota is not exceeded", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) await storeAgainstModel(seed);
});
