import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

// npm run test:volume-crash -- [--rounds 200] [--seed 7]: kills a process that writes to a volume at random moments, again and again; what fsync had confirmed
// must be there, and `fsck` find nothing.

const { values } = parseArgs({ options: { rounds: { type: "string", default: "200" }, seed: { type: "string", default: "7" } } });
const test = fileURLToPath(new URL("../e2e/volume-crash.test.ts", import.meta.url));
const { status } = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", "--test", test], {
  stdio: "inherit",
  env: { ...process.env, ANAX_VOLUME_KILLS: values.rounds, ANAX_VOLUME_KILLS_SEED: values.seed },
});
process.exitCode = status ?? 1;
