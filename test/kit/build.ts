import { spawnSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const BUILT = join(ROOT, "dist/bin/anax.js");

/** The program as it is shipped, compiled anew when a source is younger. What runs end to end is what users get. */
export function builtProgram(): string {
  if (builtAtMs() < Math.max(newestMs(join(ROOT, "src")), newestMs(join(ROOT, "bin")))) {
    const done = spawnSync(process.execPath, [join(ROOT, "scripts/build.ts")], { cwd: ROOT, encoding: "utf8" });
    if (done.status !== 0) throw new Error(`the build failed:\n${done.stdout}${done.stderr}`);
  }
  return BUILT;
}

function builtAtMs(): number {
  return statSync(BUILT, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function newestMs(dir: string): number {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true });
  return Math.max(...entries.map((entry) => statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.mtimeMs ?? 0));
}
