#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
import { nodeIsTooOld } from "../src/cli/older-node.ts";

// Nothing else may be loaded before this is known: an older Node lacks what the rest imports.
if (nodeIsTooOld(process.versions.node)) {
  const { runOnPackagedNode } = await import("../src/cli/packaged-node.ts");
  process.exitCode = await runOnPackagedNode(process.argv.slice(1));
} else {
  const { start } = await import("../src/cli/start.ts");
  process.exitCode = await start(process.argv.slice(2));
}
