#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
import { nodeIsTooOld, runOnPackagedNode } from "../src/cli/older-node.ts";

// Nothing else may be loaded before this is known: an older Node lacks what the rest imports.
if (nodeIsTooOld(process.versions.node)) {
  process.exitCode = await runOnPackagedNode(process.argv.slice(1));
} else {
  const { start } = await import("../src/cli/start.ts");
  process.exitCode = await start(process.argv.slice(2));
}
