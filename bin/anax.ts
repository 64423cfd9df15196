#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
import { nodeIsTooOld } from "../src/cli/older-node.ts";

// Nothing else may be loaded before this is known: an older Node lacks what the rest imports.
async function run(): Promise<number> {
  if (!nodeIsTooOld(process.versions.node)) return (await import("../src/cli/start.ts")).start(process.argv.slice(2));
  return (await import("../src/cli/packaged-node.ts")).runOnPackagedNode(process.argv.slice(1));
}

// Not awaited at the top: in the package this is CommonJS (scripts/build.ts).
void run().then((code) => (process.exitCode = code));
