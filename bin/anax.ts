#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
import { enableCompileCache } from "node:module";
import { codeCacheDir } from "../src/node/paths.ts";
import { keepYoungGenerationSmall } from "../src/node/young-generation.ts";

const argv = process.argv.slice(2);

// A scheduler alone keeps many small objects and no content: the default suits it.
if (argv[0] !== "scheduler") keepYoungGenerationSmall();
// Compiling the program takes longer than most commands do, so the result is kept. Where that is not possible nothing is lost but time.
enableCompileCache(codeCacheDir(process.env));

const { main } = await import("../src/cli/main.ts");
process.exitCode = await main(argv);
