import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { NODE_MIN } from "./older-node.ts";

// This file runs on Node 20: it may use nothing newer, and import nothing that does.

/** Of the table in base/errors.ts, which is not loaded here. */
const CODE = "runtime.unsupported";
const FORWARDED = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/** Runs this program again on the Node that comes with the package; resolves to its exit code. `script` and its arguments are as in `process.argv`. */
export async function runOnPackagedNode(command: readonly string[]): Promise<number> {
  const node = packagedNode();
  if (node === undefined) {
    process.stderr.write(
      `error ${CODE}: Anax needs Node ${NODE_MIN.join(".")} or newer; this is ${process.versions.node}, and none is packaged for ${process.platform}-${process.arch}\n`,
    );
    return 2;
  }
  const child = spawn(node, ["--disable-warning=ExperimentalWarning", ...command], { stdio: "inherit" });
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

function packagedNode(): string | undefined {
  try {
    const description = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/package.json`);
    const node = join(dirname(description), "bin/node");
    return existsSync(node) ? node : undefined;
  } catch {
    return undefined; // an optional dependency that was not installed
  }
}
