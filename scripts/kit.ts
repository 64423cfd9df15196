import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a command in the project with its output shown; exits the process with its status when it fails. */
export function must(title: string, command: string, args: readonly string[]): void {
  console.log(`\n▶ ${title}`);
  const startedMs = performance.now();
  const done = spawnSync(command, args, { cwd: ROOT, stdio: "inherit" });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  if (done.status === 0) return console.log(`  ${title}: ok, ${seconds} s`);
  console.error(`  ${title}: failed (${done.error?.message ?? `exit ${done.status}`}) after ${seconds} s`);
  process.exit(done.status === null || done.status === 0 ? 1 : done.status);
}

/** The Node that runs this, with the flags all of our own programs get. */
export function mustNode(title: string, args: readonly string[]): void {
  must(title, process.execPath, ["--disable-warning=ExperimentalWarning", ...args]);
}

export const bin = (name: string): string => join(ROOT, "node_modules/.bin", name);
