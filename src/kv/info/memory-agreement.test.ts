import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { KINDS } from "../../../test/store/memory-growth.ts";

const PROGRAM = fileURLToPath(new URL("../../../test/store/memory-growth.ts", import.meta.url));

for (const kind of Object.keys(KINDS))
  test(`what is counted for ${kind} agrees with what the process holds, within a tenth`, (context) => {
    const { stdout } = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", PROGRAM, kind], { encoding: "utf8" });
    const { counted, held } = JSON.parse(stdout) as { readonly counted: number; readonly held: number };
    context.diagnostic(`${counted} bytes counted, ${held} held`);
    assert.ok(Math.abs(counted / held - 1) < 0.1, `${counted} bytes counted, ${held} held`);
  });
